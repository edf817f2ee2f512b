"""`permute`: deals the values of a column out anew among the records of a snapshot or a window (R-A4).

Every order is equally likely, and which one it is depends on the run's key and the records' identities alone, not on
how they are arranged in batches. Columns that are linked move together, the others each on their own. `within` deals
out among records that are equal in other columns, as these came, so that what holds for such a group still does. Too
few records hide nothing: below the minimum of a window, and for a single record, the values are suppressed, and so
are those of a group that is too small.
"""

from __future__ import annotations

from typing import ClassVar, get_args

import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.wrong_config import MisfitError
from schemas.columns import OP, ColumnType
from schemas.task.model import Strict


class Permute:
    """`columns` are permuted; `linked` keeps them together; `minimum` is the least size of a window."""

    class Config(Strict):
        columns: list[str] = Field(min_length=1, description="The columns whose values are dealt out anew.")
        linked: bool = Field(default=False, description="Whether the columns move together, else each on its own.")
        within: list[str] = Field(
            default=[], description="Values stay among records that are equal in these columns, nulls being equal."
        )
        minimum: int = Field(
            default=50,
            ge=2,
            description="Of fewer records in a window the values are suppressed; with `within`, in a group of one.",
        )

        @model_validator(mode="after")
        def _links(self) -> Permute.Config:
            if self.linked and len(self.columns) < 2:
                raise MisfitError("links one column", "name the columns that stay together", ("linked",))
            if both := [name for name in self.within if name in self.columns]:
                raise MisfitError(f"{both[0]} is permuted within itself", "name other columns", ("within",))
            return self

    name: ClassVar[str] = "permute"
    types: ClassVar[frozenset[ColumnType]] = frozenset(get_args(ColumnType))
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "quantities without their orders",
            {"quantity": {"type": "int64"}},
            {"columns": ["quantity"]},
            {"quantity": (1, 2, 3, None)},
        ),
        Example(
            "city and postal code move together",
            {"city": {"type": "string"}, "zip": {"type": "string"}},
            {"columns": ["city", "zip"], "linked": True},
            {"city": ("Oslo", "Rome"), "zip": ("0150", "00118")},
        ),
        Example(
            "diagnoses stay within their ward",
            {"ward": {"type": "string"}, "diagnosis": {"type": "string"}},
            {"columns": ["diagnosis"], "within": ["ward"]},
            {"ward": ("a", "b", "a"), "diagnosis": ("flu", "cold", "flu")},
            {"ward": ("a", "b", "a"), "diagnosis": ("flu", None, "flu")},
        ),
        Example(
            "a single record has nobody to swap with",
            {"quantity": {"type": "int64"}},
            {"columns": ["quantity"]},
            {"quantity": (7,)},
            {"quantity": (None,)},
        ),
    )

    def plan(self, config: Permute.Config, columns: Columns) -> Treatment:
        outputs = {
            name: column_of(columns, name, self.types, "columns", i).type for i, name in enumerate(config.columns)
        }

        for i, name in enumerate(config.within):
            column_of(columns, name, self.types, "within", i)

        def treat(batch: Batch) -> list[pl.Expr | pl.Series]:
            least = config.minimum if batch.window else 2
            labels = [config.columns[0] if config.linked else name for name in config.columns]
            dealt = {label: _dealt(batch, label, config.within, least) for label in dict.fromkeys(labels)}
            pairs = zip(config.columns, labels, strict=True)
            return [_moved(batch.frame[name], *dealt[label]) for name, label in pairs]

        return Treatment(outputs, treat, reads=(*outputs, *config.within))


def _dealt(batch: Batch, label: str, within: list[str], least: int) -> tuple[pl.Series, pl.Series]:
    """Rows by group and identity, and for each the row whose value it gets; deletions and small groups stay out."""
    high, low = batch.draw.bits("permute", label)
    groups = [f"group {i}" for i in range(len(within))]
    frame = pl.DataFrame({"id": batch.draw.identities, "high": high, "low": low}).with_row_index("row")
    frame = frame.with_columns(batch.frame[name].alias(group) for name, group in zip(within, groups, strict=True))
    if OP in batch.frame.columns:
        frame = frame.filter(batch.frame[OP] == 0)
    if groups:
        frame = frame.filter(pl.len().over(groups) >= least)
    elif frame.height < least:
        frame = frame.clear()
    return frame.sort(*groups, "id")["row"], frame.sort(*groups, "high", "low")["row"]


def _moved(values: pl.Series, rows: pl.Series, origins: pl.Series) -> pl.Series:
    left = pl.Series([None], dtype=values.dtype).new_from_index(0, len(values))
    return left.scatter(rows, values.gather(origins)).alias(values.name)
