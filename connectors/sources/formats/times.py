"""Dates and points in time that are written as ISO 8601, or in the formats a source declares.

A point in time without a zone is UTC. Finer than a microsecond is refused unless it is zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import polars as pl

_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_PLAIN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?Z?$"
_GENERAL: Final = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>(?:[01][0-9]|2[0-3]):[0-5][0-9])(?P<second>:[0-5][0-9](?:[.,][0-9]{1,6}0*)?)?"
    r" ?(?P<zone>[Zz]|UTC|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?)?$"
)


def read_date(texts: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Null where the text is no date."""
    trimmed, plain = _split_plain(texts, _DATE)
    values = plain.str.to_date("%Y-%m-%d", strict=False)
    for pattern in formats:
        values = _fill(values, trimmed, partial(_formatted_date, pattern=pattern))
    return values


def read_timestamp(texts: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Null where the text is no point in time."""
    trimmed, plain = _split_plain(texts, _PLAIN)
    values = _naive(plain.str.strip_suffix("Z").str.replace(" ", "T", literal=True))
    values = _fill(values, trimmed, _general)
    for pattern in formats:
        values = _fill(values, trimmed, partial(_formatted, pattern=pattern))
    return values


def _split_plain(texts: pl.Series, expected: str) -> tuple[pl.Series, pl.Series]:
    """The texts without blanks around them, and of those the ones in the expected form."""
    fits = texts.str.contains(expected)
    if fits.all():
        return texts, texts
    trimmed = texts.str.strip_chars(" \t")
    return trimmed, trimmed.set(~trimmed.str.contains(expected).fill_null(True), None)


def _fill(values: pl.Series, texts: pl.Series, read: Callable[[pl.Series], pl.Series]) -> pl.Series:
    missing = values.is_null() & texts.is_not_null()
    if not missing.any():
        return values
    rows = missing.arg_true()
    return values.scatter(rows, read(texts.gather(rows)))


def _naive(texts: pl.Series) -> pl.Series:
    values = texts.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    return values.dt.replace_time_zone("UTC")


def _general(texts: pl.Series) -> pl.Series:
    """Every other form of ISO 8601 that is in use: a date alone, no seconds, a zone, a decimal comma."""
    parts = texts.str.extract_groups(_GENERAL).struct.unnest()
    second = (
        parts["second"].fill_null(":00").str.replace(",", ".", literal=True).str.replace(r"(\.[0-9]{6})0+$", "${1}")
    )
    local = _naive(parts["date"] + "T" + parts["time"].fill_null("00:00") + second)
    zone = parts["zone"].str.replace(":", "", literal=True)
    sign = (zone.str.head(1) == "-").cast(pl.Int64) * -2 + 1
    hours = zone.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = zone.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    shift = (sign * (hours * 60 + minutes) * 60_000_000).fill_null(0).cast(pl.Duration("us"))
    return _in_calendar(local - shift)


def _in_calendar(values: pl.Series) -> pl.Series:
    """Null outside the years 1 to 9999, which a zone or a format can lead to."""
    return values.set(~values.dt.year().is_between(1, 9999).fill_null(True), None)


def _formatted_date(texts: pl.Series, pattern: str) -> pl.Series:
    return _in_calendar(texts.str.to_date(pattern, strict=False))


def _formatted(texts: pl.Series, pattern: str) -> pl.Series:
    if "%z" in pattern:
        return _in_calendar(texts.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False))
    values = texts.str.to_datetime(pattern, time_unit="us", strict=False)
    return _in_calendar(values.dt.replace_time_zone("UTC"))
