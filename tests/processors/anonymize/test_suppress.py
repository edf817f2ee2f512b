"""Cells are removed by a condition, and rather one too many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.runner import CompiledMethods
from schemas.errors import Fatal

KEY = bytes(range(32))
Compiled = Callable[..., CompiledMethods]
WrongFor = Callable[..., list[str]]
COLUMNS = {"a": {"type": "int64"}, "b": {"type": "string"}, "c": {"type": "decimal", "scale": 2}}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(-5, 5)), st.text(max_size=2)), max_size=8))
def test_cells_that_meet_a_condition(compiled: Compiled, rows: list[tuple[int | None, str]]) -> None:
    method = {"method": "suppress", "columns": ["b", "a"], "where": "10 / a > 2 OR length(b) = 0"}
    frame = pl.DataFrame(
        [(a, b, i) for i, (a, b) in enumerate(rows)],
        schema={"a": pl.Int64, "b": pl.String, "_id": pl.Int64},
        orient="row",
    )
    out = compiled({"a": COLUMNS["a"], "b": COLUMNS["b"]}, method).apply(frame, KEY, window=True)
    # a null and a division by zero can't be told, so they count as met
    kept = [a is not None and a != 0 and not (int(10 / a) > 2 or b == "") for a, b in rows]
    assert out["a"].to_list() == [a if stays else None for (a, _), stays in zip(rows, kept, strict=True)]
    assert out["b"].to_list() == [b if stays else None for (_, b), stays in zip(rows, kept, strict=True)]


def test_a_text_instead_of_null_and_the_column_itself_in_the_condition(compiled: Compiled) -> None:
    method = {"method": "suppress", "columns": ["b"], "with": "other", "where": "b = 'rare'"}
    frame = pl.DataFrame({"a": [1, 2], "b": ["rare", "usual"], "c": [None, None], "_id": [1, 2]})
    assert compiled(COLUMNS, method).apply(frame, KEY, window=False)["b"].to_list() == ["other", "usual"]


def whole(methods: CompiledMethods, frame: pl.DataFrame, window: bool = False) -> pl.DataFrame:
    formed, _ = methods.form(frame, frame["_id"], KEY, window)
    return methods.apply(formed, KEY, window)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.sampled_from("xyz")), max_size=12))
def test_rare_values_and_records_that_have_one(compiled: Compiled, rows: list[tuple[int | None, str]]) -> None:
    columns = {"a": COLUMNS["a"], "b": COLUMNS["b"]}
    frame = pl.DataFrame(
        [(a, b, i) for i, (a, b) in enumerate(rows)],
        schema={"a": pl.Int64, "b": pl.String, "_id": pl.Int64},
        orient="row",
    )
    numbers, letters = [a for a, _ in rows], [b for _, b in rows]
    rare = {"method": "suppress", "columns": ["b", "a"], "rarer_than": 3}
    out = whole(compiled(columns, rare), frame)
    assert sorted(out.columns) == sorted(frame.columns)
    assert out["a"].to_list() == [a if numbers.count(a) >= 3 else None for a in numbers]
    assert out["b"].to_list() == [b if letters.count(b) >= 3 else None for b in letters]
    left = whole(compiled(columns, {**rare, "records": True}), frame, window=True)
    stays = [b for a, b in rows if letters.count(b) >= 3 and (a is None or numbers.count(a) >= 3)]
    assert left["b"].to_list() == stays


def test_records_that_meet_a_condition_are_left_out(compiled: Compiled) -> None:
    method = {"method": "suppress", "records": True, "where": "a > 90"}
    frame = pl.DataFrame({"a": [1, 95, None, 90], "b": list("wxyz"), "c": [None] * 4, "_id": range(4)})
    out = whole(compiled(COLUMNS, method), frame)
    assert out["b"].to_list() == ["w", "z"]
    assert out["a"].to_list() == [1, 90]


@pytest.mark.parametrize("records", [{"columns": ["b"]}, {"records": True}])
def test_above_the_limit_nothing_leaves(compiled: Compiled, records: dict[str, Any]) -> None:
    frame = pl.DataFrame({"a": range(10), "b": ["x"] * 10, "c": [None] * 10, "_id": range(10)})
    method = {"method": "suppress", "where": "a < 3", **records}
    assert whole(compiled(COLUMNS, {**method, "limit": 0.3}), frame)["a"].to_list()[-7:] == list(range(3, 10))
    methods = compiled(COLUMNS, {**method, "limit": 0.29})
    with pytest.raises(Fatal, match=r"30\.0000% of the records, more than its limit of 29\.0000%; raise the limit"):
        whole(methods, frame)
    assert whole(methods, frame, window=True).height == 0


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ({"columns": ["a"], "where": "a <"}, "0.where:"),
        ({"columns": ["a"], "where": "z > 1"}, "0.where:"),
        ({"columns": ["a"], "where": "a + 1"}, "0.where: is an expression of type int64; write a comparison"),
        ({"columns": ["c"], "where": "a > 1", "with": "x"}, "0.with: writes a text into c of type decimal, where"),
        ({"columns": ["z"], "where": "a > 1"}, "0.columns.0: z is no column"),
        ({}, "0.columns: names no column"),
        ({"columns": ["a"], "limit": 0.1}, "0.limit: would leave nothing of the table; say which records"),
        ({"columns": ["a"], "records": True}, "0.records: would leave nothing of the table"),
        ({"columns": ["a"], "where": "a > 1", "rarer_than": 2}, "0.rarer_than: has where and rarer_than"),
        ({"columns": ["a"], "where": "a > 1", "records": True}, "0.columns: names columns of records that are left"),
        ({"records": True, "rarer_than": 2}, "0.columns: names no column"),
        ({"records": True, "where": "a > 1", "with": "x"}, "0.with: writes a text into records that are left out"),
        ({"columns": ["a"], "rarer_than": 1}, "0.rarer_than: 1 does not fit"),
    ],
)
def test_conditions_that_make_no_sense(wrong: WrongFor, method: dict[str, Any], told: str) -> None:
    (mistake,) = wrong(COLUMNS, {"method": "suppress", **method})
    assert mistake.startswith(told)
