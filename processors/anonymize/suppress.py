"""`suppress`: removes values (R-A2). What remains is null, or one text for every record, the empty ones too.

With `where` the values of those records alone are removed that meet a condition over the record. A condition that is
null or can't be computed counts as met, so that nothing leaves by mistake.
"""

from __future__ import annotations

from typing import ClassVar, get_args

import polars as pl
from pydantic import ConfigDict, Field

from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.transform.expression import ExpressionError, compile_expression
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Strict


class Suppress:
    """`columns` are written as null; `with` gives a text instead and makes them text."""

    class Config(Strict):
        model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

        columns: list[str] = Field(min_length=1, description="The columns whose values are removed.")
        with_: str | None = Field(default=None, alias="with", description="One text for every record, instead of null.")
        where: str | None = Field(
            default=None, description="An expression over the record's columns: whether its values are removed."
        )

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
        Example(
            "places where few people live",
            {"city": {"type": "string"}, "people": {"type": "int64"}},
            {"columns": ["city"], "where": "people < 1000"},
            {"city": ("Oslo", "Fjord", "Nowhere", None), "people": (700_000, 80, None, 5)},
            {"city": ("Oslo", None, None, None)},
        ),
    )

    def plan(self, config: Suppress.Config, columns: Columns) -> Treatment:
        outputs: dict[str, ColumnType] = {}
        for i, name in enumerate(config.columns):
            column = column_of(columns, name, self.types, "columns", i)
            outputs[name] = column.type if config.with_ is None else "string"
            if config.where is not None and outputs[name] != column.type:
                wrong = f"writes a text into {name} of type {column.type}, where other values stay"
                raise MisfitError(wrong, "leave with out, or where", ("with",))
        met = None if config.where is None else _condition(config.where, columns)

        def treat(_: Batch) -> list[pl.Expr | pl.Series]:
            written = []
            for name, kind in outputs.items():
                gone = pl.lit(config.with_, dtype=polars_type(kind, columns[name].scale))
                written.append((gone if met is None else pl.when(met).then(gone).otherwise(name)).alias(name))
            return [*written]

        return Treatment(outputs, treat)


def _condition(text: str, columns: Columns) -> pl.Expr:
    """Whether the condition is met, or can't be told."""
    try:
        compiled = compile_expression(text, {name: column.kind for name, column in columns.items()})
    except ExpressionError as error:
        raise MisfitError(f"{error.wrong} (at character {error.position})", error.right, ("where",)) from None
    if compiled.type != "bool":
        right = "write a comparison or another expression of type bool"
        raise MisfitError(f"is an expression of type {compiled.type}", right, ("where",))
    return compiled.expr.ne_missing(False)
