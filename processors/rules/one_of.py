"""`one_of`: the value has to be one of a declared list. An empty value passes."""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl
from pydantic import Field

from processors.rules.literals import typed
from processors.rules.otherwise import Otherwise, settle
from processors.rules.protocol import Effect, Example, Phase
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Column, Strict


class OneOf:
    """`values` are allowed; `otherwise` is what becomes of every other one."""

    class Config(Strict):
        values: list[Any] = Field(min_length=1, description="The values that are allowed.")
        otherwise: Otherwise = Field(description="What becomes of any other value, or of its record.")

    name: ClassVar[str] = "one_of"
    phase: ClassVar[Phase] = Phase.CHECK
    types: ClassVar[frozenset[ColumnType]] = frozenset({"string", "int64", "decimal", "bool", "date", "timestamp"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "known states only",
            {"type": "string", "one_of": {"values": ["open", "closed"], "otherwise": "drop"}},
            ("open", "OPEN", None),
            ("open", None),
            1,
        ),
        Example(
            "unknown codes become zero",
            {"type": "int64", "one_of": {"values": [0, 1], "otherwise": {"replace": 0}}},
            (1, 2),
            (1, 0),
        ),
    )

    def apply(self, value: pl.Expr, config: OneOf.Config, column: Column) -> Effect:
        allowed = pl.Series([typed(one, column) for one in config.values], dtype=polars_type(column.type, column.scale))
        known = value.is_in(allowed.implode())
        return settle(value, ~known, config.otherwise, column, "is none of the allowed values")
