"""Dates and timestamps, in UTC: parts, truncation, and adding intervals. The years 1 to 9999 exist; beyond fails."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import polars as pl
from sqlglot import exp

from processors.transform.casts import cast, date_of
from processors.transform.terms import (
    DATE,
    INT,
    TIMESTAMP,
    Term,
    WrongError,
    decimal,
    joined,
    lost,
    need,
)

_DAYS: Final = frozenset({"date", "timestamp"})
_FIRST_DAY: Final = -719_162  # 0001-01-01, counted from 1970-01-01
_LAST_DAY: Final = 2_932_896  # 9999-12-31
_DAY_US: Final = 86_400_000_000
_BEYOND: Final = "the date is outside of the years 1 to 9999"


class Span(NamedTuple):
    months: int = 0
    days: int = 0
    micros: int = 0


_UNITS: Final = {
    "year": Span(months=12),
    "quarter": Span(months=3),
    "month": Span(months=1),
    "week": Span(days=7),
    "day": Span(days=1),
    "hour": Span(micros=3_600_000_000),
    "minute": Span(micros=60_000_000),
    "second": Span(micros=1_000_000),
    "millisecond": Span(micros=1000),
    "microsecond": Span(micros=1),
}
_TRUNCATED: Final = {
    "year": "1y",
    "quarter": "1q",
    "month": "1mo",
    "week": "1w",
    "day": "1d",
    "hour": "1h",
    "minute": "1m",
    "second": "1s",
}


def span(node: exp.Expression) -> Span:
    """What an interval that is written down says."""
    if not isinstance(node.this, exp.Literal):
        raise WrongError(node, "an interval is written down", "write interval '3 days'")
    text = str(node.this.this) + (f" {node.args['unit'].name}" if node.args.get("unit") else "")
    total = Span()
    pairs = re.findall(r"([+-]?\d{1,9})\s*([a-zA-Z]+)", text)
    if not pairs or re.sub(r"([+-]?\d{1,9})\s*([a-zA-Z]+)", "", text).strip(" ,"):
        raise WrongError(node, f"'{text}' is no interval", "write interval '3 days' or '1 month 2 hours'")
    for amount, word in pairs:
        unit = _UNITS.get(word.lower().removesuffix("s"))
        if unit is None:
            raise WrongError(node, f"there is no unit {word.lower()}", f"write one of {', '.join(_UNITS)}")
        total = Span(*(have + int(amount) * more for have, more in zip(total, unit, strict=True)))
    if abs(total.months) > 120_000 or abs(total.days) > 4_000_000 or abs(total.micros) > 4_000_000 * _DAY_US:
        raise WrongError(node, "the interval is longer than ten thousand years", "write a shorter one")
    return total


def shifted(node: exp.Expression, term: Term, by: Span, sign: int) -> Term:
    """A date or timestamp plus or minus an interval; hours make a timestamp out of a date."""
    term = date_of(node, term)
    need(node, term, _DAYS, "an interval")
    if by.micros:
        term = cast(node, term, TIMESTAMP)
    value = term.expr
    if by.months:
        month = value.dt.year().cast(pl.Int64) * 12 + value.dt.month() - 1 + sign * by.months
        exists = month.is_between(12, 9999 * 12 + 11)
        value = pl.when(exists).then(value).dt.offset_by(f"{sign * by.months}mo")
    if by.days or by.micros:
        value = _moved(value, term, sign * (by.days * _DAY_US + by.micros))
    return term.over(value, term.kind or DATE, lost(term.expr, value, _BEYOND))


def _moved(value: pl.Expr, term: Term, micros: int) -> pl.Expr:
    if term.kind == TIMESTAMP:
        moved = value.cast(pl.Int64) + micros
        exists = moved.is_between(_FIRST_DAY * _DAY_US, (_LAST_DAY + 1) * _DAY_US - 1)
        return pl.when(exists).then(moved).cast(pl.Datetime("us", "UTC"))
    return _day(value.cast(pl.Int64) + micros // _DAY_US)


def _day(number: pl.Expr) -> pl.Expr:
    exists = number.is_between(_FIRST_DAY, _LAST_DAY)
    return pl.when(exists).then(number).cast(pl.Int32, strict=False).cast(pl.Date)


def calendar(node: exp.Expression, left: Term, right: Term) -> Term:
    """date + days, date - days, date - date."""
    minus = isinstance(node, exp.Sub)
    if left.kind == DATE and right.kind == INT:
        step = right.expr.cast(pl.Int128)
        day = left.expr.cast(pl.Int64).cast(pl.Int128)
        value = _day(day - step if minus else day + step)
        both = pl.when(right.expr.is_not_null()).then(left.expr)
        return joined(value, DATE, [left, right], lost(both, value, _BEYOND))
    if left.kind == INT and right.kind == DATE and not minus:
        return calendar(node, right, left)
    if left.kind == DATE and right.kind == DATE and minus:
        return joined(left.expr.cast(pl.Int64) - right.expr.cast(pl.Int64), INT, [left, right])
    sign = "-" if minus else "+"
    right_way = "add an interval: + interval '1 day'; for a length: extract(epoch from ...) - ..."
    raise WrongError(node, f"{sign} does not fit {left.name} and {right.name}", right_way)


def part(node: exp.Expression, name: str, term: Term) -> Term:
    """EXTRACT; second and epoch are decimals, the rest whole numbers."""
    term = date_of(node, term)
    name = name.lower()
    need(node, term, _DAYS, f"extract({name})")
    stamp = cast(node, term, TIMESTAMP)
    at = stamp.expr.dt
    whole = {
        "year": at.year,
        "quarter": at.quarter,
        "month": at.month,
        "week": at.week,
        "day": at.day,
        "hour": at.hour,
        "minute": at.minute,
        "isodow": at.weekday,
        "isoyear": at.iso_year,
        "doy": at.ordinal_day,
    }
    if name in ("dow", "dayofweek"):
        return stamp.over((at.weekday() % 7).cast(pl.Int64), INT)
    if name in ("epoch", "second"):
        micros = stamp.expr.cast(pl.Int64)
        micros = micros % 60_000_000 if name == "second" else micros
        millionth = pl.lit("0.000001").cast(pl.Decimal(38, 6))
        return stamp.over(micros.cast(pl.Decimal(38, 0)) * millionth, decimal(6))
    if name not in whole:
        known = ", ".join([*whole, "dow", "second", "epoch"])
        raise WrongError(node, f"there is no part {name}", f"write one of {known}")
    return stamp.over(whole[name]().cast(pl.Int64), INT)


def truncated(node: exp.Expression, name: str, term: Term) -> Term:
    """DATE_TRUNC; a date stays a date."""
    term = date_of(node, term)
    need(node, term, _DAYS, "date_trunc")
    every = _TRUNCATED.get(name.lower())
    if every is None or (term.kind == DATE and every in ("1h", "1m", "1s")):
        raise WrongError(node, f"{term.name} can't be cut to {name.lower()}", f"write one of {', '.join(_TRUNCATED)}")
    return term.over(term.expr.dt.truncate(every), term.kind or DATE)
