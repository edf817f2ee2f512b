"""`suppress`: removes values (R-A2). What remains is null, or one text for every record, the empty ones too."""

from __future__ import annotations

from typing import ClassVar, get_args

import polars as pl
from pydantic import ConfigDict, Field

from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Strict


class Suppress:
    """`columns` are written as null; `with` gives a text instead and makes them text."""

    class Config(Strict):
        model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

        columns: list[str] = Field(min_length=1, description="The columns whose values are removed.")
        with_: str | None = Field(default=None, alias="with", description="One text for every record, instead of null.")

    name: ClassVar[str] = "suppress"
    types: ClassVar[frozenset[ColumnType]] = frozenset(get_args(ColumnType))
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "names are removed",
            {"name": {"type": "string"}},
            {"columns": ["name"]},
            {"name": ("Ada", None)},
            {"name": (None, None)},
        ),
        Example(
            "whether there was a value is hidden too",
            {"age": {"type": "int64"}},
            {"columns": ["age"], "with": "***"},
            {"age": (36, None)},
            {"age": ("***", "***")},
        ),
    )

    def plan(self, config: Suppress.Config, columns: Columns) -> Treatment:
        outputs: dict[str, ColumnType] = {}
        for i, name in enumerate(config.columns):
            column = column_of(columns, name, self.types, "columns", i)
            outputs[name] = column.type if config.with_ is None else "string"

        def treat(_: Batch) -> list[pl.Expr | pl.Series]:
            return [
                pl.lit(config.with_, dtype=polars_type(kind, columns[name].scale)).alias(name)
                for name, kind in outputs.items()
            ]

        return Treatment(outputs, treat)
