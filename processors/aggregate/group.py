"""Aggregates of groups, the same whatever the order of rows: decimals and integers exactly, floats in sorted order.

A total that its type can't hold is refused, never wrapped around and never turned into null. Rows whose argument can't
be computed are rejects, which `computable` sets apart.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from processors.outcome import mark_rejected, rejected_none
from processors.transform.aggregates import AggregateColumn, AggregatePlan
from schemas.columns import DECIMAL_PRECISION
from schemas.errors import Fatal
from schemas.task.model import Kind

RULE: Final = "transform.aggregate"

_ARGUMENT = "~argument"
_FITS = "~fits"
_ROW = "~row"
_WHY = "~why"
_WHOLE = 2**63
_DIGITS = 9e37  # what 38 digits hold, with room for the inexactness of floats


def computable(frame: pl.DataFrame, plan: AggregatePlan) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows of which every argument can be computed, the others marked as rejects)."""
    rejects = [rejected_none(frame)]
    for column in plan.columns:
        if column.argument is None or column.argument.failure is None:
            continue
        why = frame.with_columns(column.argument.failure.alias(_WHY)).get_column(_WHY)
        failed = why.is_not_null()
        if failed.any():
            reasons = pl.lit(why.filter(failed))
            rejects.append(mark_rejected(frame.filter(failed), pl.lit(column.name), pl.lit(RULE), reasons))
            frame = frame.filter(~failed)
    return frame, pl.concat(rejects)


def aggregate(frame: pl.DataFrame, plan: AggregatePlan) -> pl.DataFrame:
    """One row a group; without groups one row of everything, even of no rows."""
    work = frame.select(
        pl.lit(0, dtype=pl.Int8).alias(_ROW)
        if frame.height == 0
        else pl.repeat(0, pl.len(), dtype=pl.Int8).alias(_ROW),
        *(pl.col(group.column).alias(group.name) for group in plan.by),
        *(
            column.argument.expr.alias(f"{_ARGUMENT}{i}")
            for i, column in enumerate(plan.columns)
            if column.argument is not None
        ),
    )
    if frame.height == 0:
        work = work.clear()
    totals = [_total(column, i).alias(column.name) for i, column in enumerate(plan.columns)]
    _refuse_what_does_not_fit(work, plan)
    return _grouped(work, plan, totals)


def _refuse_what_does_not_fit(work: pl.DataFrame, plan: AggregatePlan) -> None:
    guards = [(column, guard) for i, column in enumerate(plan.columns) if (guard := _fits(column, i)) is not None]
    looked = _grouped(work, plan, [guard.alias(f"{_FITS}{i}") for i, (_, guard) in enumerate(guards)])
    for i, (column, _) in enumerate(guards):
        if not looked.get_column(f"{_FITS}{i}").all(ignore_nulls=True):
            raise Fatal(f"the {column.function} in the column {column.name} does not fit {_holds(column.kind)}")


def _grouped(work: pl.DataFrame, plan: AggregatePlan, totals: list[pl.Expr]) -> pl.DataFrame:
    if not plan.by:
        return work.select(totals)
    return work.group_by([group.name for group in plan.by]).agg(totals)


def _holds(kind: Kind) -> str:
    if kind.type == "int64":
        return "64-bit whole numbers; make it a decimal first, as in sum(cast(x as decimal))"
    return f"decimals of {DECIMAL_PRECISION} digits, {kind.scale} of them decimals"


def _fits(column: AggregateColumn, index: int) -> pl.Expr | None:
    """Whether a group's total can be held. Decimals wrap around without a word, so their size is told by floats."""
    if column.argument is None or column.function not in ("sum", "avg") or column.kind.type == "float64":
        return None
    present = pl.col(f"{_ARGUMENT}{index}").drop_nulls()
    if column.kind.type == "int64":
        total = _sum(present, column.argument.kind)
        return total.is_between(-_WHOLE, _WHOLE - 1)
    return present.cast(pl.Float64).abs().sum() * 10.0**column.kind.scale < _DIGITS


def _total(column: AggregateColumn, index: int) -> pl.Expr:
    kind = column.kind.polars
    if column.argument is None:
        return pl.len().cast(kind)
    value = pl.col(f"{_ARGUMENT}{index}")
    if column.function == "count":
        return value.count().cast(kind)
    if column.function == "count_distinct":
        return value.drop_nulls().n_unique().cast(kind)
    if column.function == "min":
        return value.min().cast(kind)
    if column.function == "max":
        return value.max().cast(kind)
    present = value.drop_nulls()
    total = _sum(present, column.argument.kind)
    if column.function == "avg":
        total = _average(total, present.len(), column)
    # SQL: the sum of no values is null, not zero.
    return pl.when(present.len() > 0).then(total).otherwise(None).cast(kind, strict=False)


def _sum(present: pl.Expr, kind: Kind) -> pl.Expr:
    if kind.type == "float64":
        return present.sort().sum()
    return present.cast(pl.Decimal(DECIMAL_PRECISION, kind.scale if kind.type == "decimal" else 0)).sum()


def _average(total: pl.Expr, count: pl.Expr, column: AggregateColumn) -> pl.Expr:
    if column.kind.type == "float64":
        return total / count
    some = count.clip(lower_bound=1)  # of no values both are computed and one is taken; a division by zero would raise
    return total.cast(column.kind.polars) / some.cast(pl.Decimal(DECIMAL_PRECISION, 0))
