"""A translated part of an expression: a total polars expression, its type, and when SQL would raise.

A term's expression never raises: where SQL would, its value is null and one of its `fails` is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl
from sqlglot import exp

from schemas.columns import DECIMAL_PRECISION
from schemas.task.model import Kind

Fail = tuple[pl.Expr, str]  # when, and why; never null

BOOL: Final = Kind("bool")
DATE: Final = Kind("date")
FLOAT: Final = Kind("float64")
INT: Final = Kind("int64")
STRING: Final = Kind("string")
TIMESTAMP: Final = Kind("timestamp")
NUMBERS: Final = frozenset({"int64", "float64", "decimal"})
MAX_SCALE: Final = 18


class WrongError(Exception):
    """A part of an expression that can't be: what is wrong with it and what would be right."""

    def __init__(self, node: exp.Expression, wrong: str, right: str) -> None:
        super().__init__(wrong)
        self.node, self.wrong, self.right = node, wrong, right


@dataclass(frozen=True)
class Term:
    """`kind` is None for a bare NULL; `literal` is the value that the author wrote, where it is one."""

    expr: pl.Expr
    kind: Kind | None
    fails: tuple[Fail, ...] = ()
    literal: Any = None

    @property
    def name(self) -> str:
        return shown(self.kind)

    def over(self, expr: pl.Expr, kind: Kind, *fails: Fail) -> Term:
        """A term computed from this one."""
        return Term(expr, kind, (*self.fails, *fails))


def shown(kind: Kind | None) -> str:
    """A type as people write it."""
    if kind is None:
        return "null"
    return f"decimal(38, {kind.scale})" if kind.type == "decimal" else kind.type


def joined(expr: pl.Expr, kind: Kind, terms: Sequence[Term], *fails: Fail) -> Term:
    """A term computed from several."""
    return Term(expr, kind, (*(fail for term in terms for fail in term.fails), *fails))


def under(fails: Sequence[Fail], mask: pl.Expr) -> tuple[Fail, ...]:
    """These failures where the mask is true: the part is evaluated there alone."""
    return tuple((when & mask.fill_null(False), why) for when, why in fails)


def lost(before: pl.Expr, after: pl.Expr, why: str) -> Fail:
    """Fails where there was a value and none came out."""
    return (before.is_not_null() & after.is_null(), why)


def typed_null(term: Term, kind: Kind) -> Term:
    """A bare NULL as a null of the type."""
    if term.kind is not None:
        return term
    return replace(term, expr=pl.lit(None, dtype=kind.polars), kind=kind)


def decimal(scale: int) -> Kind:
    return Kind("decimal", scale)


def within(size: pl.Expr, scale: int) -> pl.Expr:
    """Whether a magnitude, as a float, surely fits a decimal of the scale."""
    return size < 10.0 ** (DECIMAL_PRECISION - scale) * (1 - 1e-12)


def need(node: exp.Expression, term: Term, types: frozenset[str] | set[str], what: str) -> None:
    """Refuses a term whose type does not fit; a bare NULL fits always."""
    if term.kind is not None and term.kind.type not in types:
        right = f"{what} takes {' or '.join(sorted(types))}; write cast(... as TYPE)"
        raise WrongError(node, f"{what} does not fit {term.name}", right)
