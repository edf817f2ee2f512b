"""Values as text, for methods that write text.

A date or timestamp outside the years 1 to 9999 has no text (polars panics over one) and becomes null.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from schemas.columns import ColumnType, polars_type


def within_years(value: pl.Expr, kind: ColumnType) -> pl.Expr:
    """The moment, or null where the calendar does not reach it."""
    dtype = polars_type(kind)
    first, end = (pl.lit(dt.date(*day)).cast(dtype) for day in ((1, 1, 1), (9999, 12, 31)))
    return pl.when(value.is_between(first, end)).then(value)


def text_of(value: pl.Expr, kind: ColumnType) -> pl.Expr:
    """The value as text."""
    if kind in ("string", "json"):
        return value
    if kind in ("date", "timestamp"):
        value = within_years(value, kind)
    return value.cast(pl.String)
