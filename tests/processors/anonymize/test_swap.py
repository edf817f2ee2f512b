"""Values go to near ranks, each once."""

from __future__ import annotations

import math
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.runner import CompiledMethods

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
Run = Callable[..., pl.Series]
Compiled = Callable[..., CompiledMethods]
WrongFor = Callable[..., list[str]]


def swap(share: float, **more: object) -> dict[str, object]:
    return {"method": "swap", "columns": {"v": share}, **more}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=40), st.sampled_from([0.1, 0.3, 1.0]))
def test_every_value_remains_once_and_none_goes_far(run: Run, values: list[int | None], share: float) -> None:
    out = run("int64", values, **swap(share)).to_list()
    known = sorted(value for value in values if value is not None)
    width = int(share * len(known))
    if not width or len(known) < 2:
        assert out == [None] * len(values)
        return
    assert sorted(value for value in out if value is not None) == known
    assert [value is None for value in out] == [value is None for value in values]
    for old, new in zip(values, out, strict=True):
        if old is not None:
            low = max(0, known.index(old) - width)
            high = min(len(known) - 1, len(known) - 1 - known[::-1].index(old) + width)
            assert known[low] <= new <= known[high]


def test_most_values_move_and_the_key_says_where(run: Run) -> None:
    values = list(range(2_000))
    out = run("int64", values, **swap(0.05)).to_list()
    distance = [abs(a - b) for a, b in zip(values, out, strict=True)]
    assert max(distance) <= 100
    assert sum(distance) / 2_000 > 25
    assert sum(d == 0 for d in distance) < 60
    assert out != run("int64", values, key=OTHER, **swap(0.05)).to_list()


def test_numbers_that_are_none_take_no_part_and_deletions_neither(run: Run, compiled: Compiled) -> None:
    out = run("float64", [1.0, math.nan, 2.0, None], **swap(1))
    assert math.isnan(out[1])
    assert sorted(out.drop_nulls().drop_nans()) == [1.0, 2.0]
    frame = pl.DataFrame({"v": range(100), "_id": range(100), "_op": [i % 2 for i in range(100)]})
    moved = compiled({"v": {"type": "int64"}}, swap(0.1)).apply(frame, KEY, window=True)
    assert sorted(moved.filter(pl.col("_op") == 0)["v"]) == list(range(0, 100, 2))
    assert moved.filter(pl.col("_op") == 1)["v"].null_count() == 50


def test_a_window_below_the_minimum_is_suppressed(run: Run) -> None:
    assert run("int64", range(49), window=True, **swap(0.5)).null_count() == 49
    assert run("int64", range(50), window=True, **swap(0.5)).null_count() == 0
    assert run("int64", range(9), window=True, **swap(0.5, minimum=9)).null_count() == 0
    assert run("int64", range(9), **swap(0.1)).null_count() == 9


@pytest.mark.parametrize("share", [0, -0.1, 1.5, math.nan])
def test_shares_that_are_none(wrong: WrongFor, share: float) -> None:
    assert "is no share; give one above 0" in wrong({"v": {"type": "int64"}}, swap(share))[0]
