"""Aggregates of groups, the same whatever the order of rows: decimals and integers exactly, floats in sorted order."""

from __future__ import annotations

import polars as pl

from processors.transform.aggregates import AggregateColumn, AggregatePlan
from schemas.columns import DECIMAL_PRECISION
from schemas.task.model import Kind

_ARGUMENT = "~argument"
_ROW = "~row"


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
    if not plan.by:
        return work.select(totals)
    return work.group_by([group.name for group in plan.by]).agg(totals)


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
    return pl.when(present.len() > 0).then(total).otherwise(None).cast(kind)


def _sum(present: pl.Expr, kind: Kind) -> pl.Expr:
    if kind.type == "float64":
        return present.sort().sum()
    return present.cast(pl.Decimal(DECIMAL_PRECISION, kind.scale if kind.type == "decimal" else 0)).sum()


def _average(total: pl.Expr, count: pl.Expr, column: AggregateColumn) -> pl.Expr:
    if column.kind.type == "float64":
        return total / count
    return total.cast(column.kind.polars) / count.cast(pl.Decimal(DECIMAL_PRECISION, 0))
