"""Functions of numbers, by PostgreSQL's rules; decimals stay exact."""

from __future__ import annotations

from typing import Any

import polars as pl
from sqlglot import exp

from processors.transform.arithmetic import OVERFLOW, finite, narrowed
from processors.transform.casts import cast
from processors.transform.terms import (
    FLOAT,
    INT,
    MAX_SCALE,
    NUMBERS,
    Term,
    WrongError,
    decimal,
    need,
    typed_null,
    within,
)


def rounded(node: exp.Expression, term: Term, digits: Term | None) -> Term:
    """ROUND: decimals half away from zero, floats half to even."""
    need(node, term, NUMBERS, "round")
    count = 0 if digits is None else digits.literal
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MAX_SCALE:
        raise WrongError(node, "round needs a number of decimals", f"write round(x, 2), at most {MAX_SCALE}")
    if term.kind is None or term.kind.type == "int64":
        return typed_null(term, INT)
    if term.kind == FLOAT:
        return term.over(term.expr.round(count), FLOAT)
    if count >= term.kind.scale:
        return term
    return _cut(term, count, lambda value: value.round(count, mode="half_away_from_zero"))


def stepped(node: exp.Expression, term: Term) -> Term:
    """FLOOR and CEIL."""
    need(node, term, NUMBERS, "floor")
    up = isinstance(node, exp.Ceil)
    if term.kind is None or term.kind.type == "int64":
        return typed_null(term, INT)
    if term.kind == FLOAT:
        return term.over(term.expr.ceil() if up else term.expr.floor(), FLOAT)
    return _cut(term, 0, lambda value: value.ceil() if up else value.floor())


def _cut(term: Term, scale: int, make: Any) -> Term:
    fits = within(term.expr.cast(pl.Float64).abs() + 1, term.kind.scale if term.kind else 0)
    value = make(pl.when(fits).then(term.expr)).cast(pl.Decimal(38, scale), strict=False)
    return term.over(value, decimal(scale), (~fits.fill_null(True), OVERFLOW))


def magnitude(node: exp.Expression, term: Term) -> Term:
    need(node, term, NUMBERS, "abs")
    if term.kind is None or term.kind.type == "int64":
        term = typed_null(term, INT)
        return narrowed(term.expr.cast(pl.Int128).abs(), [term])
    return term.over(term.expr.abs(), term.kind)


def signum(node: exp.Expression, term: Term) -> Term:
    need(node, term, NUMBERS, "sign")
    term = typed_null(term, INT)
    negative, positive = pl.when(term.expr < 0).then(-1), pl.when(term.expr > 0).then(1)
    zero = pl.when(term.expr == 0).then(0)
    return term.over(pl.coalesce(negative, positive, zero).cast(pl.Int64), INT)


def real(node: exp.Expression, term: Term) -> Term:
    """SQRT, LN, EXP: floats; where the function is not defined the record fails."""
    need(node, term, NUMBERS, type(node).__name__.lower())
    value = cast(node, term, FLOAT)
    made: dict[type[exp.Expression], Any] = {
        exp.Sqrt: value.expr.sqrt,
        exp.Ln: value.expr.log,
        exp.Exp: value.expr.exp,
    }
    return finite(made[type(node)](), [value])


def power(node: exp.Expression, base: Term, exponent: Term) -> Term:
    for term in (base, exponent):
        need(node, term, NUMBERS, "power")
    one, other = cast(node, base, FLOAT), cast(node, exponent, FLOAT)
    return finite(one.expr.pow(other.expr), [one, other])
