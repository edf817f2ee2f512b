"""`empty`: what becomes of a value that is not there (R-F1).

Empty is null; for text also what holds nothing but white space, for JSON also `null`, for binary no bytes.
Zero, false and NaN are values.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import polars as pl
from pydantic import RootModel

from processors.rules.literals import literal
from processors.rules.otherwise import Replace
from processors.rules.protocol import Effect, Example, Phase
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Column


def is_empty(value: pl.Expr, kind: ColumnType) -> pl.Expr:
    """Whether the value is empty; never null itself."""
    if kind == "string":
        blank = value.str.strip_chars() == ""
    elif kind == "json":
        blank = value.str.strip_chars().is_in(["", "null"])
    elif kind == "binary":
        blank = value == b""
    else:
        return value.is_null()
    return blank.fill_null(True)


class Empty:
    """`ignore` passes the record unchanged, `drop` drops it, `{replace: VALUE}` writes a value."""

    class Config(RootModel[Literal["ignore", "drop"] | Replace]):
        pass

    name: ClassVar[str] = "empty"
    phase: ClassVar[Phase] = Phase.EMPTY
    types: ClassVar[frozenset[ColumnType]] = frozenset(get_args(ColumnType))
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "a missing city is written as unknown",
            {"type": "string", "empty": {"replace": "unknown"}},
            (None, "", " \t", "Oslo"),
            ("unknown", "unknown", "unknown", "Oslo"),
        ),
        Example("a record without a number is dropped", {"type": "int64", "empty": "drop"}, (None, 0), (0,), 1),
        Example("empty values pass", {"type": "string", "empty": "ignore"}, (None, ""), (None, "")),
    )

    def apply(self, value: pl.Expr, config: Empty.Config, column: Column) -> Effect:
        if config.root == "ignore":
            return Effect()
        empty = is_empty(value, column.type)
        if config.root == "drop":
            return Effect(fails=empty)
        new = literal(config.root.replace, column)
        if pl.select(is_empty(new, column.type)).item():
            raise MisfitError("replaces what is empty by what is empty", "give a value, or write empty: ignore")
        return Effect(changed=empty, instead=new)
