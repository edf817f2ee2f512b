"""Arithmetic by SQL's rules, exact where the types are.

Whole numbers are computed in 128 bits: a result beyond 64 bits fails, it never wraps. Division of whole numbers
truncates; division by zero is null. A product of decimals has the scales of both together, a quotient the larger
one, at least 9, rounded half to even; a decimal that is too large fails, and so does a float that becomes infinite.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from sqlglot import exp

from processors.transform.casts import cast
from processors.transform.terms import (
    FLOAT,
    INT,
    MAX_SCALE,
    NUMBERS,
    Fail,
    Term,
    WrongError,
    decimal,
    joined,
    lost,
    need,
    typed_null,
    within,
)
from schemas.columns import DEFAULT_SCALE

OVERFLOW = "the number is too large"
NOT_FINITE = "the result is infinite or not a number"
Operation = Callable[[pl.Expr, pl.Expr], pl.Expr]


def compute(node: exp.Expression, left: Term, right: Term) -> Term:
    """The term of +, -, *, / or % over two numbers."""
    what = _SIGNS[type(node)]
    for term in (left, right):
        need(node, term, NUMBERS, what)
    kinds = {term.kind.type for term in (left, right) if term.kind is not None}
    if "float64" in kinds:
        return _floats(node, cast(node, left, FLOAT), cast(node, right, FLOAT))
    if "decimal" in kinds:
        return _decimals(node, left, right)
    return _integers(node, typed_null(left, INT), typed_null(right, INT))


def negated(node: exp.Expression, term: Term) -> Term:
    need(node, term, NUMBERS, "-")
    if isinstance(term.literal, int):
        return Term(pl.lit(-term.literal, dtype=pl.Int64), INT, literal=-term.literal)
    if term.kind is not None and term.kind.type != "int64":
        return term.over(-term.expr, term.kind)
    return narrowed(0 - typed_null(term, INT).expr.cast(pl.Int128), [term])


def narrowed(wide: pl.Expr, terms: list[Term]) -> Term:
    """A 128-bit result as int64, failing where it does not fit."""
    value = wide.cast(pl.Int64, strict=False)
    return joined(value, INT, terms, lost(wide, value, OVERFLOW))


def _integers(node: exp.Expression, left: Term, right: Term) -> Term:
    one, other = left.expr.cast(pl.Int128), right.expr.cast(pl.Int128)
    return narrowed(_OPERATIONS[type(node)](one, other), [left, right])


def _truncated(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    divisor = pl.when(other != 0).then(other)
    down = one // divisor
    uneven = (one - down * divisor != 0) & ((one < 0) != (divisor < 0))
    return pl.when(uneven).then(down + 1).otherwise(down)


def _remainder(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """With the sign of the dividend, as SQL has it."""
    divisor = pl.when(other != 0).then(other)
    rest = one % divisor
    return pl.when((rest != 0) & ((one < 0) != (divisor < 0))).then(rest - divisor).otherwise(rest)


_OPERATIONS: dict[type[exp.Expression], Operation] = {
    exp.Add: lambda one, other: one + other,
    exp.Sub: lambda one, other: one - other,
    exp.Mul: lambda one, other: one * other,
    exp.Div: _truncated,
    exp.Mod: _remainder,
}
_SIGNS: dict[type[exp.Expression], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}


def _floats(node: exp.Expression, left: Term, right: Term) -> Term:
    one, other = left.expr, right.expr
    if isinstance(node, exp.Div):
        raw = one / pl.when(other != 0).then(other)
    elif isinstance(node, exp.Mod):
        raw = _float_remainder(one, other)
    else:
        raw = _OPERATIONS[type(node)](one, other)
    return finite(raw, [left, right])


def _float_remainder(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Of the magnitudes, then with the sign of the dividend; anything finite is its own rest by infinity."""
    divisor = pl.when(other != 0).then(other.abs())
    rest = pl.when(divisor.is_infinite() & one.is_finite()).then(one.abs()).otherwise(one.abs() % divisor)
    return pl.when(one < 0).then(-rest).otherwise(rest)


def finite(raw: pl.Expr, terms: list[Term]) -> Term:
    """A float result; infinite out of finite operands fails."""
    sound = pl.all_horizontal(term.expr.is_finite() for term in terms)
    over = (~raw.is_finite() & sound).fill_null(False)
    return joined(pl.when(~over).then(raw), FLOAT, terms, (over, NOT_FINITE))


def _decimals(node: exp.Expression, left: Term, right: Term) -> Term:
    left, right = _as_decimal(node, left), _as_decimal(node, right)
    scales = [term.kind.scale for term in (left, right) if term.kind is not None]
    scale = max(scales)
    if isinstance(node, exp.Mul):
        scale = sum(scales)
    elif isinstance(node, exp.Div):
        scale = max(scale, DEFAULT_SCALE)
    if scale > MAX_SCALE:
        wrong = f"the product would have {scale} decimals"
        right_way = f"at most {MAX_SCALE} are kept: cast a factor first, as in cast(x as decimal(38, 4))"
        raise WrongError(node, wrong, right_way)
    one, fails = _scaled(left, scale)
    other = right.expr if isinstance(node, exp.Mul) else _scaled(right, scale)[0]
    if not isinstance(node, exp.Mul):
        fails += _scaled(right, scale)[1]
    if isinstance(node, exp.Div | exp.Mod):
        other = pl.when(right.expr != 0).then(other)
    fits = within(_size(node, one.cast(pl.Float64).abs(), other.cast(pl.Float64).abs()), scale)
    value = _apply(node, pl.when(fits).then(one), other).cast(pl.Decimal(38, scale), strict=False)
    over: Fail = (~fits.fill_null(True), OVERFLOW)
    return joined(value, decimal(scale), [left, right], *fails, over)


def _apply(node: exp.Expression, one: pl.Expr, other: pl.Expr) -> pl.Expr:
    if isinstance(node, exp.Div):
        return one / other
    return _OPERATIONS[type(node)](one, other)


def _size(node: exp.Expression, one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """An upper bound of the result's magnitude."""
    if isinstance(node, exp.Mul):
        return one * other
    return one / other if isinstance(node, exp.Div) else one + other


def _scaled(term: Term, scale: int) -> tuple[pl.Expr, tuple[Fail, ...]]:
    if term.kind is not None and term.kind.scale == scale:
        return term.expr, ()
    value = term.expr.cast(pl.Decimal(38, scale), strict=False)
    return value, (lost(term.expr, value, OVERFLOW),)


def _as_decimal(node: exp.Expression, term: Term) -> Term:
    if term.kind is not None and term.kind.type == "decimal":
        return term
    return cast(node, term, decimal(0))
