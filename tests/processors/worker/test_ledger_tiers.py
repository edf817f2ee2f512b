"""Which segments are merged: a simulation of many epochs, with its costs counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.worker.ledger import mergeable

LIMIT = 1 << 21


def compacted(rows: list[int]) -> tuple[list[int], int]:
    """Until nothing is left to merge; also how many rows were written again."""
    moved = 0
    while (found := mergeable(rows, LIMIT)) is not None:
        start, count = found
        total = sum(rows[start : start + count])
        moved += total
        rows = [*rows[:start], total, *rows[start + count :]]
    return rows, moved


@given(st.lists(st.integers(1, 3_000_000), max_size=60))
def test_neighbours_within_the_limit_are_merged_until_few_are_left(rows: list[int]) -> None:
    found = mergeable(rows, LIMIT)
    if found is not None:
        start, count = found
        merged = rows[start : start + count]
        assert count >= 8 or (count >= 2 and 2 * sum(merged) >= LIMIT > 2 * max(merged))
        assert sum(merged) <= LIMIT
    after, _ = compacted(rows)
    assert sum(after) == sum(rows)
    assert mergeable(after, LIMIT) is None


def test_a_bulk_load_ends_in_few_large_segments() -> None:
    after, moved = compacted([32_768] * 305)  # ten million rows
    assert len(after) <= 12
    assert moved <= 10_000_000


@given(st.integers(1, LIMIT))
def test_whatever_size_a_load_comes_in_little_room_is_left(size: int) -> None:
    after, moved = compacted([size] * 200)
    assert len(after) <= 8 * 8 + 2 * 200 * size // LIMIT + 1
    assert moved <= 8 * 200 * size


@given(st.lists(st.integers(1, LIMIT), max_size=200))
def test_what_fills_half_of_the_limit_is_never_written_again(rows: list[int]) -> None:
    written: list[int] = []
    while (found := mergeable(rows, LIMIT)) is not None:
        start, count = found
        merged = rows[start : start + count]
        written += merged
        rows = [*rows[:start], sum(merged), *rows[start + count :]]
    assert all(2 * size < LIMIT for size in written)


def test_small_epochs_upon_a_large_state_touch_little_of_it() -> None:
    rows, written = [2_000_000] * 5, 0
    for _ in range(1_000):
        rows, moved = compacted([*rows, 1_000])
        written += moved
    assert len(rows) <= 5 + 3 * 8
    assert written <= 6 * 1_000_000  # once a tier


def test_few_segments_are_left_alone() -> None:
    assert mergeable([10] * 7, LIMIT) is None
    assert mergeable([], LIMIT) is None
