"""An aggregate told with noise: every named group, with what was drawn for it.

Always holds: nothing of the rows shapes what comes out but the answers; nothing is drawn here without whoever keeps
the budget. The rows go in by their identities, so that which records of a subject count depends on these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import polars as pl

from processors.aggregate.noise_plan import CELL, SUBJECT, VALUE, NoisePlan
from processors.merge.resolve import IDENT
from processors.privacy.differential.noise import Answer, Question, answer
from processors.transform.aggregates import AggregateColumn, AggregatePlan
from schemas.columns import DECIMAL_PRECISION
from schemas.errors import Fatal
from schemas.task.model import Kind

Draw = Callable[[str], Answer]  # for the column of that name
Ask = Callable[[str, str, Mapping[str, Question], Draw], Mapping[str, Answer]]  # of a table, from a budget

_WHOLE: Final = 2**63


def nobody_asks(table: str, budget: str, _questions: Mapping[str, Question], _draw: Draw) -> Mapping[str, Answer]:
    """Where there is no budget to take from."""
    raise Fatal(f"table {table}: nobody keeps the privacy budget {budget} here, so no noise may be drawn")


def tell(table: str, frame: pl.DataFrame, plan: NoisePlan, grouped: AggregatePlan, ask: Ask) -> pl.DataFrame:
    """The aggregate's columns, one row for each named group. `frame` has the rows that can be computed."""
    arguments = {column.name: column for column in grouped.columns}

    def draw(name: str) -> Answer:
        question = plan.questions[name]
        return answer(_asked(frame, plan, grouped, arguments[name], question), question)

    answers = ask(table, plan.budget, plan.questions, draw)
    return plan.cells.select(
        *(group.name for group in grouped.by),
        *(_column(name, answers[name], plan.cells[CELL], column.kind) for name, column in arguments.items()),
    )


def _asked(
    frame: pl.DataFrame, plan: NoisePlan, grouped: AggregatePlan, column: AggregateColumn, question: Question
) -> pl.DataFrame:
    """The rows that one question is about: those of a named group that have a value."""
    parts: list[Any] = [pl.col(group.column).alias(group.name) for group in grouped.by]
    if question.subject is not None:
        parts.append(pl.col(plan.subject or "").alias(SUBJECT))
    if column.argument is not None:
        parts.append(column.argument.expr.alias(VALUE))
    rows = frame.sort(IDENT).select(IDENT, *parts)
    if column.argument is not None:
        rows = rows.filter(pl.col(VALUE).is_not_null())
    names = [group.name for group in grouped.by]
    if names:
        rows = rows.join(plan.cells, on=names, how="inner", maintain_order="left")
    else:
        rows = rows.with_columns(pl.lit(plan.cells[CELL].item()).alias(CELL))
    return rows


def _column(name: str, told: Answer, cells: pl.Series, kind: Kind) -> pl.Series:
    numbers = [Decimal(told[cell]) for cell in cells]
    if kind.type == "float64":
        return pl.Series(name, [float(number) for number in numbers], dtype=pl.Float64)
    if kind.type == "int64":
        whole = [max(-_WHOLE, min(_WHOLE - 1, int(number))) for number in numbers]
        return pl.Series(name, whole, dtype=pl.Int64)
    most = Decimal((0, (9,) * DECIMAL_PRECISION, -kind.scale))
    return pl.Series(name, [max(-most, min(most, number)) for number in numbers], dtype=kind.polars)
