"""`suppress`: removes values (R-A2). What remains is null, or one text for every record, the empty ones too.

With `where` the values of those records alone are removed that meet a condition over the record. A condition that is
null or can't be computed counts as met, so that nothing leaves by mistake. With `rarer_than` values are removed that
too few records of the table have. `records` leaves whole records out instead. Where more would go than `limit` allows,
a snapshot halts and says how much it would be, and of a continuous run nothing of the table leaves. Where a method
forms groups of the table, it does so of what is left here.
"""

from __future__ import annotations

from typing import ClassVar, get_args

import polars as pl
from pydantic import ConfigDict, Field, model_validator

from processors.anonymize.protocol import Batch, Columns, Example, Formed, Treatment, column_of
from processors.transform.expression import ExpressionError, compile_expression
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType, polars_type
from schemas.errors import Fatal
from schemas.task.model import Strict


class Suppress:
    """`columns` are written as null; `with` gives a text instead and makes them text.

    What is removed of every record is not even stored behind the field rules, unless something else looks at it: keys,
    references, other tables, other methods, transforms, or `drop_all` and `keep_all`, which compare whole records.
    """

    class Config(Strict):
        model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

        columns: list[str] = Field(default=[], description="The columns whose values are removed.")
        with_: str | None = Field(default=None, alias="with", description="One text for every record, instead of null.")
        where: str | None = Field(
            default=None, description="An expression over the record's columns: whether its values are removed."
        )
        rarer_than: int | None = Field(
            default=None, ge=2, description="Values that fewer records of the whole table have are removed."
        )
        records: bool = Field(
            default=False, description="Whether the records that `where` or `rarer_than` find are left out whole."
        )
        limit: float | None = Field(
            default=None, ge=0, lt=1, description="The share of records at most that loses a value, or is left out."
        )

        @model_validator(mode="after")
        def _goes_together(self) -> Suppress.Config:
            if self.where is not None and self.rarer_than is not None:
                raise MisfitError("has where and rarer_than", "give one of them", ("rarer_than",))
            if self.where is None and self.rarer_than is None and (self.records or self.limit is not None):
                at = ("records",) if self.records else ("limit",)
                raise MisfitError("would leave nothing of the table", "say which records: give where or rarer_than", at)
            if not self.columns and (not self.records or self.rarer_than is not None):
                raise MisfitError("names no column", "name the columns whose values are removed", ("columns",))
            if self.records and self.where is not None and self.columns:
                raise MisfitError("names columns of records that are left out", "leave columns out", ("columns",))
            if self.records and self.with_ is not None:
                raise MisfitError("writes a text into records that are left out", "leave it out", ("with",))
            return self

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
        found = {name: column_of(columns, name, self.types, "columns", i) for i, name in enumerate(config.columns)}
        outputs = {name: column.type if config.with_ is None else "string" for name, column in found.items()}
        some = config.where is not None or config.rarer_than is not None
        for name, column in found.items():
            if some and outputs[name] != column.type:
                wrong = f"writes a text into {name} of type {column.type}, where other values stay"
                raise MisfitError(wrong, "leave with out, or where and rarer_than", ("with",))
        met, uses = (pl.lit(True), frozenset[str]()) if config.where is None else _condition(config.where, columns)

        def gone(name: str) -> pl.Expr:
            nothing = pl.lit(config.with_, dtype=polars_type(outputs[name], columns[name].scale))
            if config.rarer_than is not None:
                rare = pl.col(name).is_not_null() & (pl.len().over(name) < config.rarer_than)
                return pl.when(rare).then(nothing).otherwise(name).alias(name)
            return (pl.when(met).then(nothing).otherwise(name) if some else nothing).alias(name)

        if config.rarer_than is None and config.limit is None and not config.records:
            reads = (*outputs, *sorted(uses)) if some else ()
            return Treatment(outputs, lambda _: [gone(name) for name in outputs], reads=reads)
        looks = tuple(dict.fromkeys([*outputs, *sorted(uses)]))
        written: dict[str, ColumnType] = {} if config.records else dict(outputs)
        return Treatment(
            written,
            form=lambda whole: _formed(whole, config, [gone(name) for name in outputs], met),
            looks=looks,
            clears=True,
        )


def _formed(whole: Batch, config: Suppress.Config, new: list[pl.Expr], met: pl.Expr) -> Formed:
    """The whole table without what is found, if that is within the limit."""
    frame = whole.frame
    after = frame.select(new)
    if config.where is not None:
        lost = frame.select(met.alias("lost")).to_series()
    else:
        lost = pl.select(pl.any_horizontal(after[name].ne_missing(frame[name]) for name in after.columns)).to_series()
    kept = pl.repeat(True, frame.height, dtype=pl.Boolean, eager=True)
    share = (lost.sum() or 0) / max(frame.height, 1)
    if config.limit is not None and share > config.limit:
        if not whole.window:
            raise Fatal(
                f"suppress would take values of {share:.4%} of the records, more than its limit of {config.limit:.4%}; "
                "raise the limit, or generalize the columns first"
            )
        kept = ~kept
    elif config.records:
        kept = ~lost
    return Formed(after.select([]) if config.records else after, kept)


def _condition(text: str, columns: Columns) -> tuple[pl.Expr, frozenset[str]]:
    """Whether the condition is met, or can't be told; and the columns that it looks at."""
    try:
        compiled = compile_expression(text, {name: column.kind for name, column in columns.items()})
    except ExpressionError as error:
        raise MisfitError(f"{error.wrong} (at character {error.position})", error.right, ("where",)) from None
    if compiled.type != "bool":
        right = "write a comparison or another expression of type bool"
        raise MisfitError(f"is an expression of type {compiled.type}", right, ("where",))
    return compiled.expr.ne_missing(False), compiled.uses
