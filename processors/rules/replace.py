"""`replace`: writes a text for every part of a value that matches a regular expression."""

from __future__ import annotations

from typing import Annotated, ClassVar

import polars as pl
from pydantic import ConfigDict, Field, RootModel

from processors.rules.pattern import readable
from processors.rules.protocol import Effect, Example, Phase
from schemas.columns import ColumnType
from schemas.task.model import Column, Strict


class Part(Strict):
    """`with` may name groups of the expression as ${1}; `literal` takes both as plain text."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    matches: Annotated[str, Field(min_length=1)] = Field(
        description="The regular expression of the parts that are replaced, in Rust's syntax."
    )
    with_: str = Field(alias="with", description="What is written; ${1} is what the first group found.")
    literal: bool = Field(default=False, description="Whether both are plain text.")


class Replacement:
    """One replacement or a list of them, applied in the order written to all matching parts."""

    class Config(RootModel[Part | Annotated[list[Part], Field(min_length=1)]]):
        pass

    name: ClassVar[str] = "replace"
    phase: ClassVar[Phase] = Phase.CLEAN
    types: ClassVar[frozenset[ColumnType]] = frozenset({"string"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "a currency sign goes",
            {"type": "string", "replace": {"matches": "$", "with": "", "literal": True}},
            ("$12", None),
            ("12", None),
        ),
        Example(
            "surname first",
            {"type": "string", "replace": [{"matches": r"^(\w+) (\w+)$", "with": "${2}, ${1}"}]},
            ("Ada Lovelace",),
            ("Lovelace, Ada",),
        ),
    )

    def apply(self, value: pl.Expr, config: Replacement.Config, column: Column) -> Effect:
        parts = config.root if isinstance(config.root, list) else [config.root]
        for part in parts:
            matches = part.matches if part.literal else readable(part.matches)
            value = value.str.replace_all(matches, part.with_, literal=part.literal)
        return Effect(value=value)
