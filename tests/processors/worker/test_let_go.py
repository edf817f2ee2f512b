"""A column that is written anew without a look at it goes no further than the rules; every other one does."""

from __future__ import annotations

from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import yaml

import processors.anonymize
import processors.rules
from connectors.sources.contract import REJECTS
from processors.anonymize.protocol import Anonymization
from processors.merge.close import close
from processors.plan import TaskPlan, compile_task
from processors.rules.protocol import Rule
from processors.segments.format import Segment, from_bytes
from processors.worker import run_part
from processors.worker.cleanse import cleanse
from processors.worker.directory import RunInfo
from schemas import extracted
from schemas.columns import LINE
from schemas.discovery import discover
from schemas.headers import Header
from schemas.task.model import Task

KEY = bytes(range(32))
METHODS = discover(processors.anonymize, Anonymization)
TASK = """
task: t
tables:
  a:
    columns:
      id: {type: int64}
      name: {type: string}
      note: {type: string}
      n: {type: int64}
    primary_key: {column: id, conflicts: {prefer: [x, y]}}
    sources: {x: {connector: csv, path: x.csv}, y: {connector: csv, path: y.csv}}
    anonymize: [{method: suppress, columns: [name]}]
"""


def plan_of(changed: dict[str, Any], tables: dict[str, Any] | None = None, own: dict[str, Any] | None = None) -> Any:
    task = yaml.safe_load(TASK)
    task["tables"]["a"] |= changed
    task["tables"] |= tables or {}
    found = Task.model_validate(task)
    return compile_task(found, discover(processors.rules, Rule), {**METHODS, **(own or {})})


def gone(plan: TaskPlan) -> set[str]:
    return {*plan.tables["a"].columns} - {*plan.tables["a"].stored}


def anonymize(*methods: dict[str, Any]) -> dict[str, Any]:
    return {"anonymize": list(methods)}


SUPPRESS: dict[str, Any] = {"method": "suppress", "columns": ["name"]}
OTHER: dict[str, Any] = {
    "columns": {"of": {"type": "string", "references": "a.name"}},
    "sources": {"s": {"connector": "csv", "path": "b.csv"}},
}
SUM: dict[str, Any] = {
    "from": {"a": {}},
    "transform": [{"aggregate": {"by": ["a.name"], "columns": {"all": "count(*)"}, "small_groups": "publish"}}],
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, {"name"}),
        (anonymize({**SUPPRESS, "columns": ["name", "note"]}), {"name", "note"}),
        (anonymize({**SUPPRESS, "with": "***"}), {"name"}),
        (anonymize({**SUPPRESS, "columns": ["id"]}), set()),  # the key
        (anonymize({**SUPPRESS, "where": "n > 3"}), set()),
        (anonymize({**SUPPRESS, "rarer_than": 3}), set()),
        (anonymize(SUPPRESS, {"method": "suppress", "columns": ["note"], "where": "name = 'x'"}), set()),
        (anonymize(SUPPRESS, {"method": "redact", "columns": ["note"], "values_of": ["name"]}), set()),
        (anonymize(SUPPRESS, {"method": "redact", "columns": ["note"], "find": ["email"]}), {"name"}),
        (anonymize(SUPPRESS, {"method": "permute", "columns": ["n"], "within": ["name"]}), set()),
        (anonymize({"method": "tokenize", "columns": ["name"]}), set()),
        (anonymize({"method": "mask", "columns": {"name": {"keep_last": 1}}}), set()),
        (anonymize(SUPPRESS, {"method": "generalize", "quasi_identifiers": ["n"], "k": 2}), {"name"}),
        ({"primary_key": {"column": "id", "conflicts": "drop_all"}}, set()),
        ({"primary_key": {"column": "id", "conflicts": "keep_all"}}, set()),
        ({"primary_key": None}, {"name"}),
        ({"transform": [{"filter": "n > 3"}]}, set()),  # a dead letter of a transform shows the whole record
    ],
)
def test_what_nothing_looks_at_is_let_go(changed: dict[str, Any], expected: set[str]) -> None:
    assert gone(plan_of(changed)) == expected


@pytest.mark.parametrize("table", [OTHER, SUM])
def test_what_another_table_looks_at_goes_on(table: dict[str, Any]) -> None:
    assert gone(plan_of({}, {"b": table})) == set()


def test_beside_a_method_that_does_not_say_what_it_reads_everything_goes_on() -> None:
    class Silent(METHODS["tokenize"]):  # type: ignore[misc]  # whichever class it is
        def plan(self, config: Any, columns: Any) -> Any:
            found = super().plan(config, columns)
            return SimpleNamespace(**{**vars(found), "reads": None})

    changed = anonymize(SUPPRESS, {"method": "silent", "columns": ["note"]})
    assert gone(plan_of(changed, own={"silent": Silent})) == set()
    assert gone(plan_of(anonymize(SUPPRESS, {"method": "tokenize", "columns": ["note"]}))) == {"name"}


@cache
def info_of(suppressed: bool, keyed: bool = True) -> RunInfo:
    changed = {} if suppressed else {"anonymize": []}
    plan = plan_of(changed if keyed else {**changed, "primary_key": None})
    return RunInfo("run", "t", "snapshot", 1, 1, plan, KEY)


def segment(rows: list[tuple[Any, ...]], info: RunInfo, source: int, sequence: int) -> Segment:
    kinds = {name: column.kind.polars for name, column in info.plan.tables["a"].declared.items()}
    frame = pl.DataFrame(rows, schema=kinds, orient="row").with_columns(pl.lit(1, dtype=pl.Int64).alias(LINE))
    extra = {"source": source, "name": "xy"[source], "split": "s", "at": 1.0}
    header = Header("data", "t", "run", "a", "lane/0", 1, sequence, 0, frame.height, extra)
    payload = extracted.seal(frame, pl.DataFrame(schema=REJECTS), KEY)
    ((part, _),) = cleanse(payload, header, info).parts.values()
    return from_bytes(part, KEY)


def closed(new: list[Segment], old: list[Segment], info: RunInfo) -> list[dict[str, Any]]:
    changes = close(new, old, info.plan.tables["a"], 5, lambda content: content)
    return [row for change in changes for row in change.upserts.to_dicts()]


def test_no_segment_holds_it_and_it_is_empty_behind_the_merge() -> None:
    info = info_of(True)
    part = segment([(1, "Ada", "some", 3), (2, "Bob", "more", 4)], info, 0, 1)
    stored = part.all()
    assert stored is not None
    assert set(stored.columns) & {"id", "name", "note", "n"} == {"id", "note", "n"}
    rows = closed([part], [], info)
    assert sorted((row["id"], row["name"], row["note"], row["n"]) for row in rows) == [
        (1, None, "some", 3),
        (2, None, "more", 4),
    ]


@pytest.mark.parametrize("keyed", [True, False])
def test_the_rest_is_what_it_would_be_with_it(keyed: bool) -> None:
    """Where records of one source tie, their names are all alike here: which one is kept depends on what goes on."""
    random = Random(7)
    with_it, without = info_of(False, keyed), info_of(True, keyed)
    told: dict[int, list[Segment]] = {0: [], 1: []}
    for sequence in range(6):
        source = sequence % 2
        rows = [(random.randrange(40), "xy"[source], random.choice("pqr"), random.randrange(9)) for _ in range(30)]
        told[0].append(segment(rows, with_it, source, sequence))
        told[1].append(segment(rows, without, source, sequence))
    answers = [closed(told[0], [], with_it), closed(told[1], [], without)]
    assert [{**row, "name": None} for row in answers[0]] == answers[1]
    assert len(answers[0]) > 30
    if keyed:
        random.shuffle(told[1])
        assert closed(told[1], [], without) == answers[1]


def test_segments_that_still_hold_it_are_read_beside_others() -> None:
    """State that was written before the column was let go."""
    earlier, now = info_of(False), info_of(True)
    old = [segment([(1, "Ada", "a", 1), (2, "Bob", "b", 2)], earlier, 0, 1)]
    new = [segment([(2, "Bobby", "c", 3), (3, "Cy", "d", 4)], now, 0, 2)]
    rows = closed(new, old, now)
    assert sorted((row["id"], row["name"], row["note"]) for row in rows) == [(3, None, "d")]  # "b" stays: it is less
    whole = closed([*old, *new], [], now)
    assert sorted((row["id"], row["name"], row["note"]) for row in whole) == [
        (1, None, "a"),
        (2, None, "b"),
        (3, None, "d"),
    ]


@pytest.mark.parametrize("kind", ["int64", "float64", "decimal", "bool", "date", "timestamp", "binary", "json"])
def test_it_comes_back_empty_and_of_its_type(kind: str) -> None:
    columns = {**yaml.safe_load(TASK)["tables"]["a"]["columns"], "name": {"type": kind}}
    plan = plan_of({"columns": columns})
    assert gone(plan) == {"name"}
    info, table = RunInfo("run", "t", "snapshot", 1, 1, plan, KEY), plan.tables["a"]
    part = segment([(1, None, "x", 2)], info, 0, 1)
    (change,) = close([part], [], table, 5, lambda content: content)
    assert dict(change.upserts.schema) == table.carried_schema
    assert change.upserts["name"].to_list() == [None]


def test_segments_with_and_without_it_are_compacted_into_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a range has rows of one kind alone, and the next one of the other."""
    monkeypatch.setattr(run_part, "ranges", lambda *_: 64)
    earlier, now = info_of(False), info_of(True)
    rows = [(n, "Ada", "a", n) for n in range(40)]
    held = [segment(rows[:20], earlier, 0, 1), segment(rows[20:], now, 0, 2)]
    part: Any = SimpleNamespace(_segment=held.__getitem__, info=now)
    merged = from_bytes(run_part.RunPart._merged(part, [0, 1]), KEY).all()  # type: ignore[list-item]  # names of segments
    assert merged is not None
    names = {row["id"]: row["name"] for row in merged.to_dicts()}
    assert names == {n: "Ada" if n < 20 else None for n in range(40)}
