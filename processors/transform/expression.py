"""SQL-like expressions over one record, compiled to polars.

Pure and deterministic: an expression sees the columns of its own row and nothing else. What is not on the list of
translated nodes is refused. Columns of a joined table are written `table.column`, and are so named in the frame.
`docs/expressions.md` tells the semantics to authors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from processors.transform.nodes import TRANSLATIONS, Translator
from processors.transform.terms import Term, WrongError
from schemas.columns import ColumnType
from schemas.errors import MetalError
from schemas.task.form import meant
from schemas.task.model import Kind

MAX_LENGTH: Final = 10_000


class ExpressionError(MetalError):
    """An expression that can't be compiled: where in it (characters from 1), what is wrong, what would be right."""

    def __init__(self, text: str, position: int, wrong: str, right: str) -> None:
        super().__init__(f"at character {position} of {text!r}: {wrong}; {right}")
        self.text, self.position, self.wrong, self.right = text, position, wrong, right


@dataclass(frozen=True)
class Compiled:
    """`expr` never raises. Where SQL would, it is null and `failure` tells why; where `failure` is None it can't."""

    expr: pl.Expr
    kind: Kind
    uses: frozenset[str]
    failure: pl.Expr | None = None

    @property
    def type(self) -> ColumnType:
        return self.kind.type


def compile_expression(text: str, columns: Mapping[str, Kind | ColumnType]) -> Compiled:
    """The expression over these columns; raises `ExpressionError`."""
    return compile_node(text, parse(text), kinds_of(columns))


def kinds_of(columns: Mapping[str, Kind | ColumnType]) -> dict[str, Kind]:
    """Types as kinds, with a scale for decimals alone."""
    kinds = {name: Kind(kind) if isinstance(kind, str) else kind for name, kind in columns.items()}
    return {name: kind if kind.type == "decimal" else Kind(kind.type) for name, kind in kinds.items()}


def compile_node(text: str, node: exp.Expression, kinds: Mapping[str, Kind]) -> Compiled:
    """A parsed expression, or a part of one."""
    translator = Translator(TRANSLATIONS, kinds)
    try:
        term = translator.term(node)
    except WrongError as error:
        raise ExpressionError(text, position_of(error.node, text), error.wrong, error.right) from error
    except RecursionError as error:
        raise ExpressionError(text, 1, "the expression is nested too deep", "derive a part of it first") from error
    if not translator.uses and (why := constant_failure(term)):
        raise ExpressionError(text, 1, f"this can never be computed: {why}", "correct the values in it")
    kind = term.kind or Kind("string")
    return Compiled(term.expr.cast(kind.polars), kind, frozenset(translator.uses), _failure(term))


def parse(text: str) -> exp.Expression:
    """One expression; raises `ExpressionError`."""
    if not text.strip():
        raise ExpressionError(text, 1, "the expression is empty", "write one, such as quantity > 0")
    if len(text) > MAX_LENGTH:
        right = f"at most {MAX_LENGTH} are read; derive a part of it first"
        raise ExpressionError(text[:40], 1, f"an expression of {len(text)} characters", right)
    try:
        node: Any = sqlglot.parse_one(text, dialect="postgres")
    except SqlglotError as error:
        position = _error_position(error)
        right = 'put names that are words of SQL in double quotes, as in "order"'
        raise ExpressionError(text, position, "this can't be read as an expression", right) from error
    except RecursionError as error:
        raise ExpressionError(text, 1, "the expression is nested too deep", "derive a part of it first") from error
    if isinstance(node, exp.Block | exp.Query | exp.Command | exp.Alias):
        raise ExpressionError(text, 1, "this is not one expression", "write one, such as quantity * price")
    result: exp.Expression = node
    return result


def _error_position(error: SqlglotError) -> int:
    details = getattr(error, "errors", None) or [{}]
    start: str = details[0].get("start_context") or ""
    return int(details[0].get("col") or len(start) or 1)


def position_of(node: exp.Expression, text: str) -> int:
    """Where a node begins, counted from 1."""
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    if starts:
        return int(min(starts)) + 1
    words = [str(part.this) for part in node.walk() if isinstance(part, exp.Literal | exp.Anonymous)]
    found = re.search(re.escape(words[0]), text) if words else None
    return found.start() + 1 if found else 1


def constant_failure(term: Term) -> str | None:
    """Why a term that uses no column fails."""
    failure = _failure(term)
    return None if failure is None else pl.select(failure).item()


def _failure(term: Term) -> pl.Expr | None:
    if not term.fails:
        return None
    return pl.coalesce(*(pl.when(when).then(pl.lit(why)) for when, why in term.fails), pl.lit(None, dtype=pl.String))


def column_kind(text: str, node: exp.Column, kinds: Mapping[str, Kind]) -> tuple[str, Kind]:
    """The name and kind of a column that an expression consists of."""
    name = ".".join(part.name for part in node.parts)
    if name not in kinds:
        raise ExpressionError(text, position_of(node, text), f"there is no column {name}", meant(name, kinds))
    return name, kinds[name]
