"""Epoch by epoch gives what all at once gives: rows, deletions and counts."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import processors.anonymize
import processors.rules
from processors.anonymize.identity import identities
from processors.anonymize.protocol import Anonymization
from processors.merge.close import Change, close
from processors.merge.resolve import IDENT
from processors.plan import TablePlan, compile_task
from processors.rules.protocol import Rule
from processors.segments.format import Segment, build, from_bytes
from processors.worker.intake import add_counts
from schemas.columns import CHANGED, HASH, OP, POSITION, SOURCE, WEIGHT
from schemas.discovery import discover
from schemas.placement import hash_of
from schemas.task.model import Task

KEY = bytes(range(32))
SCHEMA = {"id": pl.Int64, "name": pl.String, "n": pl.Int64}
STEPS: list[Any] = [
    {"filter": "n is null or n <> 3"},
    {"derive": {"share": "12 / (n - 1)", "code": "cast(name as int64)"}},
]
CONFLICTS: list[Any] = ["drop_all", "keep_all", {"prefer": ["b", "a"]}]


@cache
def plan_of(conflicts: int, changes: bool, steps: bool, keyed: bool) -> TablePlan:
    source = {"connector": "csv", "path": "x.csv"}
    table: dict[str, Any] = {
        "columns": {"id": {"type": "int64"}, "name": {"type": "string"}, "n": {"type": "int64"}},
        "sources": {"a": {**source, "changes": changes}, "b": source},
        "transform": STEPS if steps else [],
    }
    if keyed:
        table["primary_key"] = {"column": "id", "conflicts": CONFLICTS[conflicts]}
    task = Task.model_validate({"task": "t", "tables": {"t": table}})
    found = compile_task(task, discover(processors.rules, Rule), discover(processors.anonymize, Anonymization))
    return found.tables["t"]


def segment(rows: list[dict[str, Any]], plan: TablePlan, first: int) -> Segment:
    frame = pl.DataFrame(
        [{"id": row["id"], "name": row["name"], "n": row["n"]} for row in rows], schema=SCHEMA, orient="row"
    ).with_columns(
        pl.Series(SOURCE, [row["source"] for row in rows], dtype=pl.UInt16),
        pl.Series(POSITION, [first + i for i in range(len(rows))], dtype=pl.Int64),
        pl.Series(OP, [int(row["op"] and row["source"] == 0) for row in rows], dtype=pl.Int8),
        pl.lit(0, dtype=pl.UInt64).alias(CHANGED),
        pl.lit(1, dtype=pl.Int64).alias(WEIGHT),
    )
    place = hash_of(["id"], KEY) if plan.merge.key else pl.col(POSITION).hash(5).alias(HASH)
    frame = frame.with_columns(place).sort(HASH)
    return from_bytes(build(frame if plan.change_columns else frame.drop(POSITION, OP), KEY, 4), KEY)


def generate(content: pl.Series) -> pl.Series:
    return identities(content, "t.key", KEY).reinterpret(signed=False)


def changes(new: list[Segment], old: list[Segment], plan: TablePlan) -> list[Change]:
    return list(close(new, old, plan, 11, generate))


def played(standing: dict[int, Any], counts: dict[str, Any], told: list[Change]) -> None:
    for change in told:
        for ident in change.gone.get_column(IDENT):
            del standing[ident]
        standing |= {row[IDENT]: row for row in change.upserts.to_dicts()}
        add_counts(counts, change.counts)


def without_zeros(counts: dict[str, Any]) -> dict[str, Any]:
    return {**counts, "dropped": {rule: n for rule, n in counts.get("dropped", {}).items() if n}}


record = st.fixed_dictionaries(
    {
        "id": st.integers(0, 5),
        "name": st.sampled_from([None, "7", "8", "é"]),
        "n": st.sampled_from([None, 1, 2, 3, 5]),
        "source": st.integers(0, 1),
        "op": st.sampled_from([0, 0, 0, 1]),
    }
)
epochs = st.lists(st.lists(st.lists(record, min_size=1, max_size=8), max_size=3), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(epochs, st.integers(0, 2), st.booleans(), st.booleans(), st.booleans())
def test_epochs_add_up_to_the_whole(
    told: list[list[list[dict[str, Any]]]], conflicts: int, telling: bool, steps: bool, keyed: bool
) -> None:
    plan = plan_of(conflicts, telling and keyed, steps, keyed)
    standing: dict[int, Any] = {}
    counts: dict[str, Any] = {}
    old: list[Segment] = []
    read = 0
    for batches in told:
        new = []
        for rows in batches:
            new.append(segment(rows, plan, read))
            read += len(rows)
        if new:
            played(standing, counts, changes(new, old, plan))
        old += new
        whole: dict[int, Any] = {}
        total: dict[str, Any] = {}
        if old:
            played(whole, total, changes(old, [], plan))
        assert standing == whole
        assert without_zeros(counts) == without_zeros(total)
        fell = counts.get("rejected", 0) + sum(counts.get("dropped", {}).values())
        assert counts.get("prepared", 0) == len(standing)
        assert read == len(standing) + counts.get("merged", 0) + fell


@pytest.mark.parametrize("conflicts", [0, 1, 2])
def test_the_spread_over_segments_does_not_matter(conflicts: int) -> None:
    random = Random(3)
    plan = plan_of(conflicts, False, True, True)
    rows = [
        {"id": random.randrange(40), "name": random.choice("xyz"), "n": random.randrange(6), "source": 0, "op": 0}
        for _ in range(200)
    ]
    answers = []
    for parts in (1, 2, 7):
        random.shuffle(rows)
        standing: dict[int, Any] = {}
        played(standing, {}, changes([segment(rows[i::parts], plan, 0) for i in range(parts)], [], plan))
        answers.append(standing)
    assert answers[0] == answers[1] == answers[2]


def test_an_epoch_without_news_of_a_key_says_nothing_of_it() -> None:
    plan = plan_of(0, False, False, True)

    def one(key: int, name: str) -> dict[str, Any]:
        return {"id": key, "name": name, "n": 1, "source": 0, "op": 0}

    old = [segment([one(1, "a"), one(2, "b")], plan, 0)]
    (change,) = changes([segment([one(2, "b")], plan, 2)], old, plan)
    assert change.upserts.height == change.gone.height == 0
    assert change.counts["merged"] == 1
    (change,) = changes([segment([one(2, "other")], plan, 2)], old, plan)
    assert change.upserts.height == 0
    assert change.gone.height == 1
    assert change.counts["dropped"] == {"primary_key.conflict": 2}
    assert change.counts["prepared"] == -1


def row(name: str) -> dict[str, Any]:
    return {"id": 1, "name": name, "n": 5, "source": 0, "op": 0}


@pytest.mark.parametrize("telling", [False, True])
def test_a_record_that_falls_anew_under_its_key_is_told_anew(telling: bool) -> None:
    plan = plan_of(2, telling, True, True)
    first, same, other, sound = (segment([row(name)], plan, i) for i, name in enumerate(["é", "é", "a", "7"]))
    (told,) = changes([first], [], plan)
    assert told.rejected.select("name").rows() == [("é",)]
    (again,) = changes([same], [first], plan)
    assert (again.rejected.height, again.counts["rejected"], again.counts["merged"]) == (0, 0, 1)
    (anew,) = changes([other], [first, same], plan)
    assert anew.rejected.select("name").rows() == [("a",)]
    assert (anew.counts["rejected"], anew.counts["merged"]) == (0, 1)
    (right,) = changes([sound], [first, same, other], plan)
    assert (right.rejected.height, right.counts["rejected"], right.counts["prepared"]) == (0, -1, 1)
