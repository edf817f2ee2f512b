"""`pattern`: the whole text has to match a regular expression (Rust's syntax, so in linear time)."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from processors.rules.otherwise import Otherwise, settle
from processors.rules.protocol import Effect, Example, Phase
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Column, Strict


def readable(expression: str) -> str:
    """The expression, if polars can read it."""
    try:
        pl.Series([""]).str.contains(expression, strict=True)
    except pl.exceptions.ComputeError:
        raise MisfitError("is no regular expression", "see docs.rs/regex for the syntax") from None
    return expression


class Pattern:
    """`matches` is the expression for the whole value; `otherwise` is what becomes of one that differs."""

    class Config(Strict):
        matches: str = Field(description="The regular expression of the whole value, in Rust's syntax.")
        otherwise: Otherwise = Field(description="What becomes of a value that does not match, or of its record.")

    name: ClassVar[str] = "pattern"
    phase: ClassVar[Phase] = Phase.CHECK
    types: ClassVar[frozenset[ColumnType]] = frozenset({"string"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "postal codes of five digits",
            {"type": "string", "pattern": {"matches": "[0-9]{5}", "otherwise": "reject"}},
            ("10115", "101155", None),
            ("10115", None),
            rejected=1,
        ),
        Example(
            "what is no grade is written as unknown",
            {"type": "string", "pattern": {"matches": "[A-F]", "otherwise": {"replace": "unknown"}}},
            ("A", "A+"),
            ("A", "unknown"),
        ),
    )

    def apply(self, value: pl.Expr, config: Pattern.Config, column: Column) -> Effect:
        matches = value.str.contains(f"^(?:{readable(config.matches)})$")
        return settle(value, ~matches, config.otherwise, column, "does not match the pattern")
