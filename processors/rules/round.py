"""`round`: numbers to a count of decimal places, halves away from zero."""

from __future__ import annotations

from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field, RootModel

from processors.rules.literals import literal
from processors.rules.protocol import Effect, Example, Phase
from processors.wrong_config import MisfitError
from schemas.columns import DECIMAL_PRECISION, ColumnType
from schemas.task.model import Column


class Round:
    """The count of decimal places that remain."""

    class Config(RootModel[Annotated[int, Field(ge=0, le=18)]]):
        pass

    name: ClassVar[str] = "round"
    phase: ClassVar[Phase] = Phase.CLEAN
    types: ClassVar[frozenset[ColumnType]] = frozenset({"float64", "decimal"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example("cents", {"type": "float64", "round": 2}, (1.005, 2.5, -0.125, None), (1.0, 2.5, -0.13, None)),
    )

    def apply(self, value: pl.Expr, config: Round.Config, column: Column) -> Effect:
        if column.type == "decimal" and config.root >= column.scale:
            raise MisfitError(
                f"leaves a decimal of scale {column.scale} as it is",
                f"give at most {column.scale - 1}, or leave it out",
            )
        if column.type == "float64":
            return Effect(value=value.round(config.root, mode="half_away_from_zero"))
        # the largest numbers have no room to be rounded up, and stay
        room = literal(10 ** (DECIMAL_PRECISION - column.scale) - 2, column)
        rounded = pl.when(value.abs() <= room).then(value).round(config.root, mode="half_away_from_zero")
        return Effect(value=pl.coalesce(rounded, value))
