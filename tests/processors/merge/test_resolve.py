"""Keyed merge against a plain oracle: one key at a time, lists and dictionaries."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.merge.resolve import CONFLICT, IDENT, MergePlan, differences, resolve
from schemas.columns import CHANGED, HASH, OP, POSITION, SOURCE, WEIGHT

COLUMNS = ("id", "name", "n")
SCHEMA = {"id": pl.Int64, "name": pl.String, "n": pl.Float64, SOURCE: pl.UInt16, POSITION: pl.Int64, OP: pl.Int8}

values = st.tuples(
    st.integers(0, 6),
    st.sampled_from([None, "", "a", "b", "é", "z"]),
    st.sampled_from([None, -1.0, 0.5, 2.0]),
    st.integers(0, 2),
)


def frame_of(records: list[tuple[Any, ...]], deletions: bool = False) -> pl.DataFrame:
    rows = [(i, name, n, src, pos, 0) for pos, (i, name, n, src) in enumerate(records)]
    if deletions:
        rows = [(*row[:5], pos % 4 == 3) for pos, row in enumerate(rows)]
    return frame_told(rows)


def frame_told(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Of rows with source, position and operation; those of one key stay in their order."""
    return (
        pl.DataFrame(rows, schema=SCHEMA, orient="row")
        .with_columns(
            pl.col("id").hash(7).alias(HASH),
            pl.lit(1, dtype=pl.Int64).alias(WEIGHT),
            pl.lit(0, dtype=pl.UInt64).alias(CHANGED),
        )
        .sort(HASH, maintain_order=True)
    )


def text_order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        (False, b"") if value is None else (True, value.encode() if isinstance(value, str) else value) for value in row
    )


def shift(content: pl.Series) -> pl.Series:
    return content


def rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return sorted(frame.select(COLUMNS).rows(), key=text_order)


@given(st.lists(values, max_size=40), st.randoms(use_true_random=False))
def test_prefer_takes_the_best_source_and_the_smallest_record(records: list[Any], rng: random.Random) -> None:
    ranks = (1, 0, 2)
    groups: dict[int, list[Any]] = defaultdict(list)
    for record in records:
        groups[record[0]].append(record)
    expected = []
    for group in groups.values():
        best = min(ranks[record[3]] for record in group)
        expected.append(min((r[:3] for r in group if ranks[r[3]] == best), key=text_order))
    shuffled = list(records)
    rng.shuffle(shuffled)
    plan = MergePlan(COLUMNS, ("id",), "prefer", ranks)
    result = resolve(frame_of(shuffled), plan, 1, shift)
    assert rows(result.kept) == sorted(expected, key=text_order)
    assert (result.read, result.merged, result.conflicts) == (len(records), len(records) - len(expected), 0)


@given(st.lists(values, max_size=40))
def test_drop_all_leaves_out_what_is_told_differently(records: list[Any]) -> None:
    groups: dict[int, list[Any]] = defaultdict(list)
    for record in records:
        groups[record[0]].append(record[:3])
    expected = [group[0] for group in groups.values() if len(set(group)) == 1]
    conflicts = sum(len(group) for group in groups.values() if len(set(group)) > 1)
    result = resolve(frame_of(records), MergePlan(COLUMNS, ("id",), "drop_all"), 1, shift)
    assert rows(result.kept) == sorted(expected, key=text_order)
    assert result.conflicts == conflicts
    assert result.merged == len(records) - conflicts - len(expected)


@given(st.lists(values, max_size=40))
def test_keep_all_gives_every_version_a_key_of_its_own(records: list[Any]) -> None:
    groups: dict[int, set[Any]] = defaultdict(set)
    for record in records:
        groups[record[0]].add(record[:3])
    plan = MergePlan(COLUMNS, ("id",), "keep_all", regenerate="id", regenerate_type="int64")
    result = resolve(frame_of(records), plan, 1, shift)
    ids = result.kept.get_column("id").to_list()
    assert len(set(ids)) == len(ids)
    untouched = {next(iter(group)) for group in groups.values() if len(group) == 1}
    assert untouched == {row for row in result.kept.select(COLUMNS).rows() if row[0] >= 0}
    versions = sorted((row[1:] for group in groups.values() for row in group), key=text_order)
    assert sorted((row[1:] for row in result.kept.select(COLUMNS).rows()), key=text_order) == versions
    assert result.merged == len(records) - len(versions)


def test_keep_all_extends_a_text_key() -> None:
    frame = frame_of([(1, "a", 1.0, 0), (1, "a", 2.0, 0)]).with_columns(pl.col("id").cast(pl.String))
    plan = MergePlan(COLUMNS, ("id",), "keep_all", regenerate="id", regenerate_type="string")
    keys = resolve(frame, plan, 1, shift).kept.get_column("id").to_list()
    assert len(set(keys)) == 2
    assert all(key.startswith("1~") for key in keys)


@given(st.lists(values, max_size=40))
def test_of_a_source_of_changes_the_last_one_counts(records: list[Any]) -> None:
    frame = frame_of(records, deletions=True)
    last: dict[tuple[int, int], tuple[Any, ...]] = {}
    for row in sorted(frame.select("id", SOURCE, POSITION, OP, "name", "n").rows(), key=lambda r: r[2]):
        last[row[0], row[1]] = row
    alive: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for row in last.values():
        if row[3] == 0:
            alive[row[0]].append(row)
    plan = MergePlan(COLUMNS, ("id",), "prefer", (0, 1, 2), changes=frozenset({0, 1, 2}))
    result = resolve(frame, plan, 1, shift)
    expected = [(key, *min(group, key=lambda r: r[1])[4:]) for key, group in alive.items()]
    assert rows(result.kept) == sorted(expected, key=text_order)
    assert result.read == len(records) == result.merged + result.kept.height


told = st.tuples(
    st.integers(0, 2), st.sampled_from([None, "a"]), st.just(1.0), st.integers(0, 1), st.integers(0, 2), st.booleans()
)


@given(st.lists(told, max_size=12), st.randoms(use_true_random=False), st.sampled_from([COLUMNS, ("id", "n")]))
def test_changes_that_tie_do_not_depend_on_their_order(
    records: list[Any], rng: random.Random, columns: tuple[str, ...]
) -> None:
    """Also where what told them apart is not stored any more; a deletion counts then."""
    plan = MergePlan(columns, ("id",), "prefer", (0, 1), frozenset({0, 1}))

    def outcome() -> tuple[Any, int]:
        found = resolve(frame_told(records), plan, 3, shift)
        return found.kept.select(*columns, SOURCE, POSITION).sort(pl.all()).rows(), found.merged

    first = outcome()
    rng.shuffle(records)
    assert outcome() == first


def test_of_a_record_and_a_deletion_that_nothing_tells_apart_the_deletion_counts() -> None:
    rows = [(1, "a", 1.0, 0, 5, 0), (1, "b", 1.0, 0, 5, 1)]
    plan = MergePlan(("id", "n"), ("id",), "prefer", (0, 1), frozenset({0}))
    for some in (rows, rows[::-1]):
        assert resolve(frame_told(some), plan, 3, shift).kept.height == 0


def test_without_a_key_every_record_is_kept() -> None:
    result = resolve(frame_of([(1, "a", 1.0, 0)] * 3), MergePlan(COLUMNS), 1, shift)
    assert result.kept.height == 3
    assert result.merged == 0


@pytest.mark.parametrize("strategy", ["prefer", "drop_all", "keep_all"])
def test_an_empty_batch_stays_empty(strategy: Any) -> None:
    plan = MergePlan(COLUMNS, ("id",), strategy, (0, 1, 2), regenerate="id")
    result = resolve(frame_of([]), plan, 1, shift)
    assert (result.kept.height, result.read, result.merged, result.conflicts) == (0, 0, 0, 0)


@given(st.lists(values, max_size=30), st.lists(values, max_size=30))
def test_differences_lead_from_one_state_to_the_other(first: list[Any], second: list[Any]) -> None:
    plan = MergePlan(COLUMNS, ("id",), "prefer", (0, 1, 2))
    old = resolve(frame_of(first), plan, 1, shift).kept
    new = resolve(frame_of(first + second), plan, 1, shift).kept
    upserts, gone = differences(old, new, COLUMNS)
    state = {row[0]: row for row in old.select(IDENT, *COLUMNS, SOURCE).rows()}
    for row in upserts.select(IDENT, *COLUMNS, SOURCE).rows():
        assert state.get(row[0]) != row
        state[row[0]] = row
    for (ident,) in gone.rows():
        del state[ident]
    assert state == {row[0]: row for row in new.select(IDENT, *COLUMNS, SOURCE).rows()}


def test_the_conflict_rule_has_a_name_that_users_see() -> None:
    assert CONFLICT == "primary_key.conflict"
