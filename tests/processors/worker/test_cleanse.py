"""A batch of a source on its way to the merge: everything that was read is kept, dropped or told as a letter."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import processors.anonymize
import processors.rules
from connectors.sources.contract import REJECTS
from processors.anonymize.protocol import Anonymization
from processors.merge.resolve import resolve
from processors.plan import compile_task
from processors.rules.protocol import Rule
from processors.segments.format import from_bytes
from processors.worker.cleanse import Cleansed, cleanse
from processors.worker.directory import RunInfo
from schemas import extracted, sealing
from schemas.columns import HASH, LINE, OP, POSITION, SOURCE, WEIGHT
from schemas.discovery import discover
from schemas.headers import Header
from schemas.task.model import Task

KEY = bytes(range(32))
SCHEMA = {"id": pl.String, "name": pl.String, "n": pl.Int64}


@cache
def info_of(partitions: int = 3, keyed: bool = True, changes: bool = False, strict: bool = False) -> RunInfo:
    source = {"connector": "csv", "path": "x.csv"}
    table: dict[str, Any] = {
        "columns": {
            "id": {"type": "string", "normalize": ["trim"]},
            "name": {"type": "string"},
            "n": {"type": "int64", "one_of": {"values": [0, 1, 2, 7, 9], "otherwise": "reject" if strict else "drop"}},
        },
        "sources": {"told": {**source, "changes": changes}, "added": source},
    }
    if keyed:
        table["primary_key"] = {"column": "id", "conflicts": {"prefer": ["told", "added"]}}
    task = Task.model_validate({"task": "t", "tables": {"t": table}})
    plan = compile_task(task, discover(processors.rules, Rule), discover(processors.anonymize, Anonymization))
    return RunInfo("run", "t", "snapshot", partitions, 1, plan, KEY)


def cleansed(
    rows: list[tuple[Any, ...]],
    info: RunInfo,
    bad: int = 0,
    changes: list[tuple[int, int]] | None = None,
    sequence: int = 4,
    source: int = 0,
    unread: tuple[tuple[str | None, int | None], ...] = (),
) -> Cleansed:
    """`unread`: records kept by columns that could not be read, and their places in the order of changes."""
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(
        pl.Series(LINE, [10 + i for i in range(len(rows))], dtype=pl.Int64)
    )
    if changes is not None:
        frame = frame.with_columns(
            pl.Series(POSITION, [position for position, _ in changes], dtype=pl.Int64),
            pl.Series(OP, [op for _, op in changes], dtype=pl.Int8),
        )
    told = [
        (i, "n", "is no number", None, '{"id":"a","n":"x"}', 70)
        if i % 2
        else (i, None, "is cut", f"raw {i}", None, None)
        for i in range(bad)
    ]
    told += [(i, "n", "is no number", None, record, place) for i, (record, place) in enumerate(unread)]
    rejects = pl.DataFrame(told, schema=REJECTS, orient="row")
    extra = {"source": source, "name": "told", "split": "t/told/x", "at": 1.0}
    header = Header("data", "t", "run", "t", "lane/0", 1, sequence, 0, frame.height + len(told), extra)
    return cleanse(extracted.seal(frame, rejects, KEY), header, info)


def kept(found: Cleansed) -> pl.DataFrame:
    frames = [frame for part, _ in found.parts.values() if (frame := from_bytes(part, KEY).all()) is not None]
    return pl.concat(frames) if frames else pl.DataFrame(schema={**SCHEMA, WEIGHT: pl.Int64})


def opened(letter: dict[str, Any]) -> Any:
    return orjson.loads(sealing.unseal(KEY, letter["sealed"], letter["id"]))


row = st.tuples(
    st.sampled_from([None, "", "a", " a ", "b", "c\x00", "é"]),
    st.sampled_from([None, "x", "y\x00z"]),
    st.sampled_from([None, -1, 0, 7]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(row, max_size=20), st.integers(0, 3), st.booleans(), st.booleans(), st.booleans(), st.data())
def test_every_record_is_kept_dropped_or_told(
    rows: list[Any], bad: int, keyed: bool, telling: bool, strict: bool, data: st.DataObject
) -> None:
    info = info_of(keyed=keyed, changes=telling and keyed, strict=strict)
    ops = [(i, data.draw(st.integers(0, 1))) for i in range(len(rows))] if telling and keyed else None
    found = cleansed(rows, info, bad, ops)
    frame = kept(found)
    dropped = sum(found.counts["dropped"].values())
    assert found.counts["read"] == len(rows) + bad
    assert found.counts["read"] == frame[WEIGHT].sum() + dropped + found.counts["rejected"]
    assert found.counts["rejected"] == len(found.letters) == len({letter["id"] for letter in found.letters})
    assert sum(rows for _, rows in found.parts.values()) == frame.height
    for letter in found.letters:
        opened(letter)
        assert b"\x00" not in letter["reason"].encode()


@settings(max_examples=50, deadline=None)
@given(st.lists(row, max_size=15), st.booleans())
def test_the_same_batch_gives_the_same_again(rows: list[Any], keyed: bool) -> None:
    once, again = (cleansed(rows, info_of(keyed=keyed), 1) for _ in range(2))
    assert kept(once).equals(kept(again))
    assert once.counts == again.counts
    told = [[{**letter, "sealed": opened(letter)} for letter in found.letters] for found in (once, again)]
    assert told[0] == told[1]


def test_a_key_falls_into_one_partition_and_parts_are_sorted() -> None:
    found = cleansed([(f"k{i % 50}", "x", 1) for i in range(500)], info_of(partitions=4))
    assert len(found.parts) == 4
    places: dict[str, int] = {}
    for q, (part, _) in found.parts.items():
        frame = from_bytes(part, KEY).all()
        assert frame is not None
        assert frame[HASH].is_sorted()
        for key in frame["id"]:
            assert places.setdefault(key, q) == q


def test_records_without_a_key_stay_apart_and_keep_their_identity() -> None:
    info = info_of(keyed=False)
    same = [("a", "x", 1)] * 5
    first = kept(cleansed(same, info, sequence=1))
    assert first[HASH].n_unique() == 5
    assert set(first[HASH]) == set(kept(cleansed(same, info, sequence=1))[HASH])
    assert not set(first[HASH]) & set(kept(cleansed(same, info, sequence=2))[HASH])


def test_a_letter_holds_the_record_as_it_came_and_where_it_stood() -> None:
    found = cleansed([(None, "x", 1), (" a ", "q\x00", 3)], info_of(), 2)
    cut, apart = (letter for letter in found.letters if letter["rule"] == "type")
    by_rule = {letter["rule"]: letter for letter in found.letters}
    assert opened(by_rule["primary_key"]) == {"id": None, "name": "x", "n": 1}
    assert opened(by_rule["text"]) == {"id": " a ", "name": "q\x00", "n": 3}
    assert opened(cut) == {"_raw": "raw 0"}
    assert opened(apart) == {"id": "a", "n": "x"}
    assert orjson.loads(apart["position"]) == {"source": "told", "split": "t/told/x", "line": 1, "change": 70}
    assert orjson.loads(by_rule["text"]["position"]) == {"source": "told", "split": "t/told/x", "line": 11}
    assert (cut["column"], apart["column"]) == (None, "n")


# What falls in a source of changes.


def standing(*batches: Cleansed, strict: bool = False) -> list[tuple[Any, ...]]:
    """What the merge makes of these batches."""
    info = info_of(changes=True, strict=strict)
    frame = pl.concat([kept(one) for one in batches if one.parts]).sort(HASH)
    merged = resolve(frame, info.plan.tables["t"].merge, 1, lambda content: content)
    fell = sum(sum(one.counts["dropped"].values()) + one.counts["rejected"] for one in batches)
    read = sum(one.counts["read"] for one in batches)
    assert read == merged.kept.height + merged.merged + merged.conflicts + fell
    return sorted(merged.kept.select("id", "name", "n").rows())


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("later", [(" a", "new", -1), ("a ", "n\x00w", 1)])
def test_a_change_that_falls_takes_the_earlier_version_along(strict: bool, later: tuple[Any, ...]) -> None:
    info = info_of(changes=True, strict=strict)
    first = cleansed([("a", "old", 1), ("b", "old", 1)], info, changes=[(1, 0), (2, 0)])
    second = cleansed([later], info, changes=[(3, 0)], sequence=5)
    assert standing(first, second, strict=strict) == [("b", "old", 1)]
    third = cleansed([("a", "newer", 2)], info, changes=[(4, 0)], sequence=6)
    assert standing(first, second, third, strict=strict) == [("a", "newer", 2), ("b", "old", 1)]


@pytest.mark.parametrize("strict", [False, True])
def test_a_change_that_cannot_be_read_takes_the_earlier_version_along(strict: bool) -> None:
    info = info_of(changes=True, strict=strict)
    first = cleansed([("a", "old", 1), ("b", "old", 1)], info, changes=[(1, 0), (2, 0)])
    second = cleansed([], info, sequence=5, unread=(('{"id":" a","name":"new","n":"x"}', 3),))
    assert (second.counts, kept(second)[WEIGHT].to_list()) == ({"read": 1, "rejected": 1, "dropped": {}}, [0])
    assert standing(first, second, strict=strict) == [("b", "old", 1)]
    (letter,) = second.letters
    change = orjson.loads(letter["position"])["change"]
    correction = cleansed([("a", "new", 9)], info, changes=[(change, 0)], sequence=6)
    assert standing(first, second, correction, strict=strict) == [("a", "new", 9), ("b", "old", 1)]
    mixed = cleansed([("c", "old", 1)], info, changes=[(4, 0)], sequence=7, unread=(('{"id":"b","n":"x"}', 5),))
    assert standing(first, second, mixed, strict=strict) == [("c", "old", 1)]


@pytest.mark.parametrize(
    ("record", "place"), [(None, 3), ('{"id":"a","n":"x"}', None), ('{"id":null,"n":"x"}', 3), ('{"n":"x"}', 3)]
)
def test_what_cannot_be_read_as_far_as_its_key_takes_nothing_along(record: str | None, place: int | None) -> None:
    info = info_of(changes=True)
    first = cleansed([("a", "old", 1)], info, changes=[(1, 0)])
    assert standing(first, cleansed([], info, sequence=5, unread=((record, place),))) == [("a", "old", 1)]


@pytest.mark.parametrize("telling", [False, True])
def test_a_source_that_only_adds_withdraws_nothing_that_it_cannot_read(telling: bool) -> None:
    """Not even where a correction, which has a place, can't be read again."""
    found = cleansed([("a", "x", 1)], info_of(changes=telling), source=1, unread=(('{"id":"a","n":"x"}', 0),))
    assert kept(found)[WEIGHT].to_list() == [1]


def test_a_change_without_a_key_takes_nothing_along() -> None:
    info = info_of(changes=True)
    first = cleansed([("a", "old", 1)], info, changes=[(1, 0)])
    second = cleansed([(None, "new", 1)], info, changes=[(2, 0)], sequence=5)
    assert standing(first, second) == [("a", "old", 1)]


def test_a_correction_stands_where_the_record_that_fell_stood() -> None:
    info = info_of(changes=True, strict=True)
    first = cleansed([("a", "old", 1)], info, changes=[(1, 0)])
    second = cleansed([("a", "new", -1)], info, changes=[(3, 0)], sequence=5)
    (letter,) = second.letters
    change = orjson.loads(letter["position"])["change"]
    correction = cleansed([("a", "new", 9)], info, changes=[(change, 0)], sequence=6)
    assert standing(first, second, correction, strict=True) == [("a", "new", 9)]
    later = cleansed([("a", "last", 2)], info, changes=[(4, 0)], sequence=7)
    assert standing(first, second, correction, later, strict=True) == [("a", "last", 2)]


def test_a_source_that_only_adds_withdraws_nothing() -> None:
    """It stands beside one that tells changes, so its rows have their columns too."""
    info = info_of(changes=True)
    told = cleansed([("a", "old", 1)], info, changes=[(1, 0)])
    added = cleansed([("a", "x", -1), ("b", "y", 1)], info, sequence=5, source=1)
    assert standing(told, added) == [("a", "old", 1), ("b", "y", 1)]
    assert kept(added)[SOURCE].to_list() == [1]
