"""What leaves for the next topic: anonymized batches with identities that tell nothing, sealed segments by identity."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import processors.anonymize
import processors.rules
from processors.anonymize.protocol import Anonymization
from processors.merge.resolve import IDENT
from processors.plan import TaskPlan, compile_task
from processors.references.related import present
from processors.rules.protocol import Rule
from processors.segments.format import Segment, from_bytes
from processors.worker.directory import RunInfo
from processors.worker.shape import prepared, related
from schemas import batch, outbox, topics
from schemas.columns import CHANGED, HASH, IDENTITY, OP, POSITION, SOURCE
from schemas.discovery import discover
from schemas.errors import Fatal
from schemas.task.model import Task

KEY, OTHER = bytes(range(32)), bytes(32)
NONE = pl.DataFrame(schema={IDENT: pl.UInt64})
IDENTS = st.integers(0, 2**64 - 1)


TABLE: dict[str, Any] = {
    "columns": {"id": {"type": "int64"}, "name": {"type": "string"}, "secret": {"type": "string"}},
    "primary_key": {"column": "id", "conflicts": "drop_all"},
    "sources": {"s": {"connector": "csv", "path": "x.csv"}},
    "transform": [{"derive": {"long": "length(name)"}}],
    "anonymize": [{"method": "suppress", "columns": ["secret"]}],
}
TASK = Task.model_validate({"task": "t", "tables": {"t": TABLE}})


def plan_of(task: Task) -> TaskPlan:
    return compile_task(task, discover(processors.rules, Rule), discover(processors.anonymize, Anonymization))


@cache
def info_of(key: bytes = KEY) -> RunInfo:
    return RunInfo("run", "t", "snapshot", 1, 1, plan_of(TASK), key)


def rows_of(idents: list[int], name: str = "n") -> pl.DataFrame:
    count = len(idents)
    return pl.DataFrame(
        {
            IDENT: pl.Series(idents, dtype=pl.UInt64),
            SOURCE: pl.Series([0] * count, dtype=pl.UInt16),
            CHANGED: pl.Series([3] * count, dtype=pl.UInt64),
            "id": pl.Series(range(count), dtype=pl.Int64),
            "name": pl.Series([name] * count, dtype=pl.String),
            "secret": pl.Series(["planted-secret"] * count, dtype=pl.String),
            "long": pl.Series([len(name)] * count, dtype=pl.Int64),
        }
    )


def sent(rows: pl.DataFrame, gone: pl.DataFrame = NONE, first: bool = False, key: bytes = KEY) -> pl.DataFrame:
    info = info_of(key)
    ((count, payload),) = prepared(rows, gone, info.plan.tables["t"].output_plan, info, first)
    found = batch.decode(payload)
    assert found.height == count
    return found


def segment(rows: pl.DataFrame, gone: pl.DataFrame = NONE, close: int = 0) -> Segment:
    info = info_of()
    ((count, payload),) = related(rows, gone, info.plan.tables["t"], info, close)
    assert count == rows.height + gone.height
    return from_bytes(payload, KEY)


def of(idents: list[int]) -> pl.DataFrame:
    return pl.DataFrame({IDENT: idents}, schema={IDENT: pl.UInt64})


@pytest.mark.parametrize("first", [True, False])
def test_nothing_leaves_but_what_the_methods_gave(first: bool) -> None:
    found = sent(rows_of([1, 2]), first=first)
    assert found.columns == [IDENTITY, SOURCE, CHANGED, *([] if first else [OP]), "id", "name", "secret", "long"]
    assert found.get_column("secret").null_count() == 2
    assert found.get_column(CHANGED).to_list() == [3, 3]
    ((_, payload),) = prepared(rows_of([1]), NONE, info_of().plan.tables["t"].output_plan, info_of(), first)
    assert b"planted" not in payload


@settings(max_examples=40, deadline=None)
@given(st.lists(IDENTS, unique=True, max_size=20), st.lists(IDENTS, unique=True, max_size=20))
def test_a_deletion_names_the_row_that_was_sent_and_says_nothing_else(here: list[int], gone: list[int]) -> None:
    before = sent(rows_of(gone), first=True)
    found = sent(rows_of(here), of(gone))
    deletions = found.filter(pl.col(OP) == 1)
    assert deletions.get_column(IDENTITY).to_list() == before.get_column(IDENTITY).to_list()
    assert all(deletions.get_column(name).null_count() == len(gone) for name in ("id", "name", "secret", "long"))
    assert found.filter(pl.col(OP) == 0).height == len(here)
    assert found.drop(OP).schema == before.schema


@settings(max_examples=40, deadline=None)
@given(st.lists(IDENTS, unique=True, min_size=1, max_size=20))
def test_identities_are_of_the_run_and_tell_no_hash(idents: list[int]) -> None:
    one, two = (sent(rows_of(idents), key=key).get_column(IDENTITY) for key in (KEY, OTHER))
    assert one.n_unique() == len(idents)
    assert not set(one) & set(two)
    assert one.to_list() != of(idents).get_column(IDENT).reinterpret(signed=True).to_list()
    assert sent(rows_of(idents)).get_column(IDENTITY).to_list() == one.to_list()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9))), min_size=1, max_size=5))
def test_of_several_epochs_the_last_word_on_a_row_stands(epochs: list[tuple[set[int], set[int]]]) -> None:
    standing: dict[int, int] = {}
    segments = []
    for close, (here, gone) in enumerate(epochs):
        gone = gone - here
        if here or gone:
            segments.append(segment(rows_of(sorted(here), f"n{close}"), of(sorted(gone)), close))
        standing = {ident: at for ident, at in standing.items() if ident not in gone} | dict.fromkeys(here, close)
    found = present(segments, ["name"]) if segments else None
    rows = [] if found is None else found.select(HASH, POSITION, "name").rows()
    assert sorted(rows) == sorted((ident, at, f"n{at}") for ident, at in standing.items())


def test_a_segment_is_sealed_under_the_key_of_the_run() -> None:
    info = info_of()
    ((_, payload),) = related(rows_of([5, 1, 3]), of([2]), info.plan.tables["t"], info, 0)
    assert b"planted" not in payload
    assert from_bytes(payload, KEY).rows == 4
    with pytest.raises(Fatal):
        from_bytes(payload, OTHER)


@pytest.mark.parametrize("first", [True, False])
def test_a_table_with_a_waiver_leaves_as_it_is_and_sealed(first: bool) -> None:
    table = TASK.tables["t"].model_copy(update={"anonymize": []})
    plan = plan_of(TASK.model_copy(update={"tables": {"t": table}}))
    info = replace(info_of(), plan=plan, waived=frozenset({"t"}))
    ((_, payload),) = prepared(rows_of([1, 2]), of([] if first else [3]), plan.tables["t"].output_plan, info, first)
    assert b"planted" not in payload
    with pytest.raises(Fatal):
        batch.decode(payload)
    found = outbox.unseal(payload, KEY, "t")
    assert found["secret"].to_pylist()[:2] == ["planted-secret"] * 2
    assert found.num_rows == (2 if first else 3)
    for key, table_name in ((OTHER, "t"), (KEY, "u")):
        with pytest.raises(Fatal):
            outbox.unseal(payload, key, table_name)


@pytest.mark.parametrize("first", [True, False])
def test_what_is_too_much_for_a_message_leaves_in_several(first: bool) -> None:
    """Wide rows, of which a range holds more than a message does: in order, each once, no message too large."""
    info = info_of()
    wide, gone = rows_of(list(range(3_000)), "n" * 10_000), of([] if first else [5_000, 5_001])
    table = info.plan.tables["t"]
    sent = list(prepared(wide, gone, table.output_plan, info, first))
    found = [batch.decode(payload) for _, payload in sent]
    assert len(sent) > 2
    assert all(len(payload) < topics.MAX_MESSAGE * 3 // 4 for _, payload in sent)
    assert [frame.height for frame in found] == [count for count, _ in sent]
    whole = pl.concat(found)
    assert whole.get_column("id").drop_nulls().to_list() == list(range(3_000))
    assert whole.height == 3_000 + gone.height
    segments = list(related(wide, gone, table, info, 0))
    assert all(len(payload) < topics.MAX_MESSAGE * 3 // 4 for _, payload in segments)
    assert [from_bytes(payload, KEY).rows for _, payload in segments] == [count for count, _ in segments]
    assert sum(count for count, _ in segments) == whole.height
