"""`swap`: gives each record the value of another whose rank is near (R-A5).

The values of a column are ordered, and each goes to a record at most `share` of all ranks away: every value remains
exactly once, so the distribution stays as it was, and what a column has to do with others stays nearly so. Equal
values are ordered at random. Too few records hide nothing: below the minimum of a window, and where no other rank is
near enough, the values are suppressed. A null or NaN stays where it is and takes no part.
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.wrong_config import MisfitError
from schemas.columns import OP, ColumnType
from schemas.task.model import Strict


class Swap:
    """`columns` says how far a value goes at most, as a share of all ranks: `{salary: 0.05}`."""

    class Config(Strict):
        columns: dict[str, float] = Field(
            min_length=1, description="Column: how far a value goes at most, as a share of all ranks, up to 1."
        )
        minimum: int = Field(default=50, ge=2, description="Of fewer records in a window the values are suppressed.")

        @model_validator(mode="after")
        def _shares(self) -> Swap.Config:
            for name, share in self.columns.items():
                if not 0 < share <= 1:
                    raise MisfitError(f"{share} is no share", "give one above 0 and up to 1", ("columns", name))
            return self

    name: ClassVar[str] = "swap"
    types: ClassVar[frozenset[ColumnType]] = frozenset({"int64", "float64", "decimal", "date", "timestamp"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "salaries go to people who earn about as much",
            {"salary": {"type": "int64"}},
            {"columns": {"salary": 0.5}},
            {"salary": (1000, 1200, None, 5000, 5100)},
        ),
        Example(
            "a single record has nobody to swap with",
            {"salary": {"type": "int64"}},
            {"columns": {"salary": 0.05}},
            {"salary": (1000, None)},
            {"salary": (None, None)},
        ),
    )

    def plan(self, config: Swap.Config, columns: Columns) -> Treatment:
        outputs = {name: column_of(columns, name, self.types, "columns", name).type for name in config.columns}

        def treat(batch: Batch) -> list[pl.Expr | pl.Series]:
            least = config.minimum if batch.window else 2
            return [_swapped(batch, name, share, least) for name, share in config.columns.items()]

        return Treatment(outputs, treat, reads=tuple(outputs))


def _swapped(batch: Batch, name: str, share: float, least: int) -> pl.Series:
    """The rank of each value is moved by up to `width` at random, and values are dealt out in the order that results.

    A value whose rank is lower by more than `width` stays before another, so none goes further than that.
    """
    values = batch.frame[name]
    noise, tie = batch.draw.uniform("swap", name)
    frame = pl.DataFrame({"value": values, "noise": noise, "tie": tie}).with_row_index("row")
    takes_part, left = (
        frame["value"].is_not_null(),
        pl.Series([None], dtype=values.dtype).new_from_index(0, len(values)),
    )
    if values.dtype.is_float():
        takes_part &= frame["value"].is_not_nan().fill_null(False)
        left = frame.select(pl.when(pl.col("value").is_nan()).then("value")).to_series()
    if OP in batch.frame.columns:
        takes_part &= batch.frame[OP] == 0
    taking = frame.filter(takes_part).sort("value", "tie")
    width = int(share * taking.height)
    if taking.height >= least and width:
        moved = taking.with_columns(key=pl.int_range(pl.len()).cast(pl.Float64) + pl.col("noise") * (width + 1))
        left = left.scatter(moved.sort("key", "tie")["row"], taking["value"])
    return left.alias(name)
