"""`range`: what becomes of a value outside declared bounds (R-F2). Bounds are part of the range.

An empty value passes: it is the matter of `empty`. NaN lies in no range and has no nearest bound.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from processors.rules.literals import literal, typed
from processors.rules.protocol import Effect, Example, Phase
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Column, Strict


class Range:
    """`outside: drop` drops the record, `outside: clamp` writes the violated bound."""

    class Config(Strict):
        min: Any = Field(default=None, description="The least value, of the column's type.")
        max: Any = Field(default=None, description="The greatest value.")
        outside: Literal["drop", "clamp"] = Field(
            description="What becomes of what lies outside: the record is dropped, or the value becomes the bound."
        )

        @model_validator(mode="after")
        def _bounded(self) -> Range.Config:
            if self.min is None and self.max is None:
                raise MisfitError("has no bound", "give min, max or both")
            return self

    name: ClassVar[str] = "range"
    phase: ClassVar[Phase] = Phase.CHECK
    types: ClassVar[frozenset[ColumnType]] = frozenset({"int64", "float64", "decimal", "date", "timestamp"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "ages are clamped",
            {"type": "int64", "range": {"min": 0, "max": 100, "outside": "clamp"}},
            (-1, 0, 100, 101, None),
            (0, 0, 100, 100, None),
        ),
        Example(
            "implausible salaries are dropped",
            {"type": "float64", "range": {"min": 10, "outside": "drop"}},
            (9.99, 10.0, None, float("nan")),
            (10.0, None),
            2,
        ),
        Example(
            "what is not a number has no nearest bound",
            {"type": "float64", "range": {"max": 1, "outside": "clamp"}},
            (float("nan"), float("inf")),
            (1.0,),
            rejected=1,
        ),
    )

    def apply(self, value: pl.Expr, config: Range.Config, column: Column) -> Effect:
        low, high = (None if b is None else literal(b, column) for b in (config.min, config.max))
        if low is not None and high is not None and typed(config.min, column) > typed(config.max, column):
            raise MisfitError("has a min above its max", "swap them")
        below = pl.lit(False) if low is None else value < low
        above = pl.lit(False) if high is None else value > high
        outside = (below | above).fill_null(False)
        nan = value.is_nan().fill_null(False) if column.type == "float64" else None
        if config.outside == "drop":
            return Effect(fails=outside if nan is None else outside | nan)
        new = value.clip(low, high)
        if nan is None:
            return Effect(value=new, changed=outside)
        reason = "is not a number, which has no nearest bound"
        return Effect(value=new, changed=outside, fails=nan, verdict="reject", reason=reason)
