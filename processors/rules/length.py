"""`length`: bounds on how long a text is, in characters (code points), or a binary value, in bytes."""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from processors.rules.otherwise import Otherwise, settle
from processors.rules.protocol import Effect, Example, Phase
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Column, Strict


class Length:
    """`min` and `max` are part of the range; `otherwise: cut` shortens what is too long."""

    class Config(Strict):
        min: int | None = Field(default=None, ge=0, description="The least length: characters, of binary bytes.")
        max: int | None = Field(default=None, ge=1, description="The greatest length.")
        otherwise: Literal["cut"] | Otherwise = Field(
            description="What becomes of a value of another length, or of its record."
        )

        @model_validator(mode="after")
        def _bounded(self) -> Length.Config:
            if self.min is None and self.max is None:
                raise MisfitError("has no bound", "give min, max or both")
            if self.min is not None and self.max is not None and self.min > self.max:
                raise MisfitError("has a min above its max", "swap them")
            if self.otherwise == "cut" and (self.max is None or self.min is not None):
                raise MisfitError(
                    "can't cut by these bounds", "cut needs max, and can't help a value that is too short"
                )
            return self

    name: ClassVar[str] = "length"
    phase: ClassVar[Phase] = Phase.CHECK
    types: ClassVar[frozenset[ColumnType]] = frozenset({"string", "binary"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "codes have two or three letters",
            {"type": "string", "length": {"min": 2, "max": 3, "otherwise": "drop"}},
            ("a", "ab", "äöü", "abcd", None),
            ("ab", "äöü", None),
            2,
        ),
        Example(
            "notes are cut",
            {"type": "string", "length": {"max": 4, "otherwise": "cut"}},
            ("short", "four"),
            ("shor", "four"),
        ),
    )

    def apply(self, value: pl.Expr, config: Length.Config, column: Column) -> Effect:
        size = value.str.len_chars() if column.type == "string" else value.bin.size("b")
        short = pl.lit(False) if config.min is None else size < config.min
        long = pl.lit(False) if config.max is None else size > config.max
        if config.otherwise == "cut":
            cut = value.str.head(config.max or 0) if column.type == "string" else value.bin.head(config.max or 0)
            return Effect(value=cut, changed=long)
        return settle(value, short | long, config.otherwise, column, "is too short or too long")
