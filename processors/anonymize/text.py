"""Values as text, for methods that write text.

A date or timestamp outside the years 1 to 9999 has no text (polars panics over one) and becomes null.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from schemas.columns import ColumnType, polars_type


def within_years(value: pl.Expr, kind: ColumnType) -> pl.Expr:
    """The moment, or null where the calendar does not reach it."""
    last = dt.date(9999, 12, 31) if kind == "date" else dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)
    first, end = (pl.lit(moment).cast(polars_type(kind)) for moment in (dt.date(1, 1, 1), last))
    return pl.when(value.is_between(first, end)).then(value)


def text_of(value: pl.Expr, kind: ColumnType) -> pl.Expr:
    """The value as text."""
    if kind in ("string", "json"):
        return value
    if kind in ("date", "timestamp"):
        value = within_years(value, kind)
    return value.cast(pl.String)
