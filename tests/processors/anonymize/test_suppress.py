"""Cells are removed by a condition, and rather one too many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.runner import CompiledMethods

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


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ({"columns": ["a"], "where": "a <"}, "0.where:"),
        ({"columns": ["a"], "where": "z > 1"}, "0.where:"),
        ({"columns": ["a"], "where": "a + 1"}, "0.where: is an expression of type int64; write a comparison"),
        ({"columns": ["c"], "where": "a > 1", "with": "x"}, "0.with: writes a text into c of type decimal, where"),
        ({"columns": ["z"], "where": "a > 1"}, "0.columns.0: z is no column"),
    ],
)
def test_conditions_that_make_no_sense(wrong: WrongFor, method: dict[str, Any], told: str) -> None:
    (mistake,) = wrong(COLUMNS, {"method": "suppress", **method})
    assert mistake.startswith(told)
