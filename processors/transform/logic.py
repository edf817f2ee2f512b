"""Comparison, three-valued logic and choice, by SQL's rules.

`and`, `or`, `case` and `coalesce` look at their parts from left to right: what they do not need cannot fail.
"""

from __future__ import annotations

import re
from functools import reduce
from typing import Any, Final

import polars as pl
from sqlglot import exp

from processors.transform.casts import texts, unified
from processors.transform.terms import BOOL, STRING, Term, WrongError, joined, need, typed_null, under

_COMPARED: Final[dict[type[exp.Expression], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "is not distinct from",
    exp.NullSafeNEQ: "is distinct from",
}
_ORDERED: Final = frozenset({"string", "int64", "float64", "decimal", "bool", "date", "timestamp"})


def compare(node: exp.Expression, left: Term, right: Term) -> Term:
    sign = _COMPARED[type(node)]
    one, other = _alike(node, left, right, sign)
    if sign in ("<", "<=", ">", ">="):
        need(node, one, _ORDERED, sign)
    match sign:
        case "=":
            raw = one.expr == other.expr
        case "<>":
            raw = one.expr != other.expr
        case "<":
            raw = one.expr < other.expr
        case "<=":
            raw = one.expr <= other.expr
        case ">":
            raw = one.expr > other.expr
        case ">=":
            raw = one.expr >= other.expr
        case "is not distinct from":
            raw = one.expr.eq_missing(other.expr)
        case _:
            raw = one.expr.ne_missing(other.expr)
    return joined(raw, BOOL, [one, other])


def _alike(node: exp.Expression, left: Term, right: Term, sign: str) -> tuple[Term, Term]:
    """In comparable types; decimals of two scales compare as they are, so that none is too large."""
    kinds = [term.kind.type for term in (left, right) if term.kind is not None]
    if kinds == ["decimal", "decimal"]:
        return left, right
    (one, other), kind = unified(node, [left, right], sign)
    if kind.type == "json":
        raise WrongError(node, f"{sign} does not fit json", "cast it: cast(... as string)")
    return one, other


def conjunction(node: exp.Expression, left: Term, right: Term) -> Term:
    """AND and OR."""
    what = "and" if isinstance(node, exp.And) else "or"
    for term in (left, right):
        need(node, term, {"bool"}, what)
    one, other = typed_null(left, BOOL), typed_null(right, BOOL)
    if what == "and":
        raw, needed = one.expr & other.expr, one.expr.fill_null(True)
    else:
        raw, needed = one.expr | other.expr, ~one.expr.fill_null(False)
    return Term(raw, BOOL, (*one.fails, *under(other.fails, needed)))


def negation(node: exp.Expression, term: Term) -> Term:
    need(node, term, {"bool"}, "not")
    term = typed_null(term, BOOL)
    return term.over(~term.expr, BOOL)


def identity(node: exp.Expression, left: Term, right: Term) -> Term:
    """IS NULL, IS TRUE, IS FALSE."""
    if right.kind is None:
        return left.over(left.expr.is_null(), BOOL)
    need(node, left, {"bool"}, "is true")
    if not isinstance(right.literal, bool):
        raise WrongError(node, "is takes null, true or false", "write = to compare values")
    return left.over(typed_null(left, BOOL).expr.eq_missing(pl.lit(right.literal)), BOOL)


def membership(node: exp.Expression, value: Term, options: list[Term]) -> Term:
    equal = [compare(exp.EQ(this=node.this, expression=node.this), value, option) for option in options]
    raw = reduce(lambda one, other: one | other, (term.expr for term in equal))
    return joined(raw, BOOL, equal)


def between(node: exp.Expression, value: Term, low: Term, high: Term) -> Term:
    parts = [
        compare(exp.GTE(this=node.this, expression=node.this), value, low),
        compare(exp.LTE(this=node.this, expression=node.this), value, high),
    ]
    return joined(parts[0].expr & parts[1].expr, BOOL, parts)


def likeness(node: exp.Expression, value: Term, pattern: Term, escape: str) -> Term:
    """LIKE and ILIKE; the pattern is one that was written down."""
    if not isinstance(pattern.literal, str):
        raise WrongError(node, "like needs a pattern that is written down", "write like 'A%'")
    flags = "(?is)" if isinstance(node, exp.ILike) else "(?s)"
    text = texts(node, value)
    return text.over(text.expr.str.contains(flags + _regex(node, pattern.literal, escape)), BOOL)


def _regex(node: exp.Expression, pattern: str, escape: str) -> str:
    parts, rest = [], iter(pattern)
    for letter in rest:
        if letter == escape:
            following = next(rest, None)
            if following is None:
                raise WrongError(node, "the pattern ends in its escape character", "write it twice")
            parts.append(_literally(following))
        else:
            parts.append({"%": ".*", "_": "."}.get(letter) or _literally(letter))
    return rf"\A{''.join(parts)}\z"


def _literally(letter: str) -> str:
    return f"\\{letter}" if re.match(r"[\\.+*?()|\[\]{}^$#&\-~]", letter) else letter


def choice(node: exp.Expression, branches: list[tuple[Term, Term]], default: Term) -> Term:
    """CASE: the first branch whose condition is true, else the default."""
    for condition, _ in branches:
        need(node, condition, {"bool"}, "when")
    values, kind = unified(node, [*(value for _, value in branches), default], "case")
    open_ = pl.lit(True)
    fails: list[Any] = []
    chain: Any = pl
    for (condition, _), value in zip(branches, values, strict=False):
        test = typed_null(condition, BOOL).expr.fill_null(False)
        fails += [*under(condition.fails, open_), *under(value.fails, open_ & test)]
        chain = chain.when(test).then(value.expr)
        open_ = open_ & ~test
    fails += under(values[-1].fails, open_)
    return Term(chain.otherwise(values[-1].expr), kind, tuple(fails))


def first_value(node: exp.Expression, terms: list[Term]) -> Term:
    """COALESCE."""
    values, kind = unified(node, terms, "coalesce")
    fails: list[Any] = []
    open_ = pl.lit(True)
    for value in values:
        fails += under(value.fails, open_)
        open_ = open_ & value.expr.is_null()
    return Term(pl.coalesce(value.expr for value in values), kind, tuple(fails))


def null_if(node: exp.Expression, left: Term, right: Term) -> Term:
    same = compare(exp.EQ(this=node.this, expression=node.this), left, right)
    kind = left.kind or STRING
    return Term(pl.when(~same.expr.fill_null(False)).then(typed_null(left, kind).expr), kind, same.fails)


def extreme(node: exp.Expression, terms: list[Term], largest: bool) -> Term:
    """GREATEST and LEAST: nulls are left out, NaN is the largest."""
    values, kind = unified(node, terms, "greatest" if largest else "least")
    need(node, values[0], _ORDERED, "greatest" if largest else "least")

    def better(best: pl.Expr, value: pl.Expr) -> pl.Expr:
        wins = value > best if largest else value < best
        return pl.when(best.is_null() | wins.fill_null(False)).then(value).otherwise(best)

    return joined(reduce(better, (value.expr for value in values)), kind, values)
