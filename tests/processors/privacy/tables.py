"""Small tables, full of nulls, equal rows and awkward values, for properties."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import strategies as st

QUASI_IDENTIFIERS = ("a", "b")
SCHEMA = {"a": pl.String, "b": pl.Float64, "s": pl.Int64, "word": pl.String, "who": pl.Int64}
Rows = list[dict[str, Any]]


def tables(least: int = 0) -> st.SearchStrategy[Rows]:
    row = st.fixed_dictionaries(
        {
            "a": st.sampled_from([None, "", "x", "xy", "*"]),
            "b": st.sampled_from([None, 0.0, -0.0, 1.5, float("inf")]),
            "s": st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([-(2**63), 2**63 - 1])),
            "word": st.sampled_from([None, "flu", "cold", "cough", ""]),
            "who": st.one_of(st.none(), st.integers(1, 4)),
        }
    )
    return st.lists(row, min_size=least, max_size=30)


def frame_of(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def ascending(values: set[Any]) -> list[Any]:
    return sorted(values, key=lambda value: (value is not None, value if value is not None else 0))
