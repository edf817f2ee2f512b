"""The noise of an aggregate, read: which questions are asked of its rows, and which groups they are told for.

Always holds: whatever shapes the answer besides the counts and sums themselves (groups, bounds, how often a subject
counts) is said in the task. What can't be told with differential privacy is refused. Draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import product
from typing import Any, Final

import orjson
import polars as pl
from sqlglot import exp

from processors.privacy.differential.noise import Cost, Question
from processors.transform.aggregates import AggregateColumn, AggregatePlan, GroupColumn
from processors.transform.expression import ExpressionError, column_kind, parse
from processors.transform.outputs import aggregate_of, table_plan
from processors.wrong_config import ConfigError, MisfitError, Path, Wrong
from schemas.columns import ColumnType
from schemas.task.form import meant
from schemas.task.model import Aggregate, Bounds, Kind, Noise, Task

MOST_GROUPS: Final = 10_000
SUBJECT: Final = "the subject"  # columns of what a question looks at; no column of a table is named so
CELL: Final = "the group"
VALUE: Final = "the value"
_ROUGHLY: Final = 10_000  # steps from nothing to a sum's bounds, at least
_NAMED: Final = ("string", "int64", "bool", "date")
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "epsilon": ("epsilon",),
    "delta": ("delta",),
    "contributions": ("at_most",),
    "lower": ("min",),
    "upper": ("max",),
    "step": ("step",),
}


@dataclass(frozen=True)
class NoisePlan:
    """`cells`: the columns that are grouped by, with one row for each group, and the group's text in `CELL`."""

    budget: str
    subject: str | None  # a column of the frame
    cells: pl.DataFrame
    questions: dict[str, Question]  # by the column that is told


def noise_of(name: str, task: Task) -> NoisePlan | None:
    """How a table of the task is told with noise; None if it is not. Raises `ConfigError`."""
    aggregate = aggregate_of(task.tables[name])
    if aggregate is None or aggregate.noise is None:
        return None
    transform, plan = table_plan(name, task)
    if plan is None:
        return None
    found, mistakes = read_noise(aggregate, plan, transform.columns)
    mistakes += _misplaced(name, task)
    if mistakes or found is None:
        at = next(i for i, step in enumerate(task.tables[name].transform) if step.aggregate is aggregate)
        place: Path = ("tables", name, "transform", at, "aggregate")
        raise ConfigError(Wrong((*place, *one.path), one.wrong, one.right) for one in mistakes)
    return found


def read_noise(
    aggregate: Aggregate, plan: AggregatePlan, kinds: Mapping[str, Kind]
) -> tuple[NoisePlan | None, list[Wrong]]:
    """The plan, or every mistake; paths relative to the aggregate."""
    noise = aggregate.noise
    if noise is None:
        return None, []
    mistakes = [*_unfit(aggregate, plan, noise), *_uncategorized(aggregate, plan, noise)]
    subject = None
    try:
        if noise.subject is not None:
            subject = _column(noise.subject, kinds)
    except ExpressionError as error:
        mistakes.append(Wrong(("noise", "subject"), error.wrong, error.right))
    if noise.subject is None and noise.at_most > 1:
        right = "name the subject's column too: without one each record counts once"
        mistakes.append(Wrong(("noise", "at_most"), "nobody has several records without a subject", right))
    if mistakes:
        return None, mistakes
    cells = _cells(plan.by, [noise.categories[text] for text in aggregate.by])
    questions: dict[str, Question] = {}
    for column in plan.columns:
        try:
            questions[column.name] = _question(column, noise, tuple(cells[CELL]), len(plan.columns))
        except MisfitError as misfit:
            mistakes.append(Wrong(_place(misfit, column.name), misfit.wrong, misfit.right))
    return NoisePlan(noise.budget, subject, cells, questions), mistakes


def _misplaced(name: str, task: Task) -> list[Wrong]:
    """Where no noise can be."""
    table, found = task.tables[name], []
    if task.mode == "continuous":
        right = "make the task mode: snapshot, and start it as often as the budget allows"
        found.append(Wrong(("noise",), "a continuous run would be charged for every epoch", right))
    above = next(iter(table.from_ or {}), None)
    while above in task.tables:
        if aggregate_of(task.tables[above]) is not None:
            wrong = f"rows of {above} are aggregates, of which nobody knows how much one subject has to do with them"
            found.append(Wrong(("noise",), wrong, "aggregate the records themselves"))
        above = next(iter(task.tables[above].from_ or {}), None)
    if table.anonymize:
        wrong = "the table's columns are anonymized besides"
        found.append(Wrong(("noise",), wrong, "leave out anonymize: what is told with noise is safe as it is"))
    return found


def _unfit(aggregate: Aggregate, plan: AggregatePlan, noise: Noise) -> Iterator[Wrong]:
    sums = {column.name for column in plan.columns if column.function == "sum"}
    for column in plan.columns:
        place = ("columns", column.name)
        text = aggregate.columns[column.name]
        if column.function == "count_distinct":
            right = "write count(*), with the column as noise.subject and at_most: 1"
            yield Wrong(place, f"{text} can't be told with noise", right)
        elif column.function == "avg":
            yield Wrong(place, f"{text} can't be told with noise", "tell its sum and its count, and divide them")
        elif column.function in ("min", "max"):
            right = "tell counts and sums: one record alone can be the least or the greatest"
            yield Wrong(place, f"{text} can't be told with noise", right)
        elif column.name in sums and column.name not in noise.bounds:
            right = f"add bounds: {{{column.name}: {{min: ..., max: ...}}}}, not taken from the data"
            yield Wrong(("noise", "bounds"), f"the sum {column.name} has no bounds", right)
    for name in noise.bounds.keys() - sums:
        right = f"bound {', '.join(sorted(sums))}" if sums else "leave bounds out: counts need none"
        yield Wrong(("noise", "bounds", name), f"{name} is no sum of this aggregate", right)


def _uncategorized(aggregate: Aggregate, plan: AggregatePlan, noise: Noise) -> Iterator[Wrong]:
    place = ("noise", "categories")
    for text, group in zip(aggregate.by, plan.by, strict=True):
        if text not in noise.categories:
            right = f"add categories: {{{text}: [...]}}, every value that there is to be a group of"
            yield Wrong(place, f"the categories of {text} are not named", right)
        elif group.kind.type not in _NAMED:
            right = f"group by a column of type {', '.join(_NAMED)}"
            yield Wrong((*place, text), f"{text} is of type {group.kind.type}, whose values can't be named", right)
        else:
            yield from _misnamed(noise.categories[text], group.kind.type, (*place, text))
    for text in noise.categories.keys() - set(aggregate.by):
        yield Wrong((*place, text), f"{text} is not grouped by", meant(text, aggregate.by))
    groups = math.prod(len(values) for values in noise.categories.values())
    if groups > MOST_GROUPS:
        yield Wrong(place, f"there would be {groups:,} groups", f"name fewer: {MOST_GROUPS:,} groups at most")


def _misnamed(values: Sequence[Any], kind: ColumnType, place: Path) -> Iterator[Wrong]:
    if not values:
        yield Wrong(place, "no category is named", "name every value that there is to be a group of")
    known: set[Any] = set()
    for index, value in enumerate(values):
        try:
            found = _typed(value, kind)
        except ValueError:
            right = f"write a {kind}" + (", as in 2024-02-29" if kind == "date" else "")
            yield Wrong((*place, index), f"{value!r} is no {kind}", right)
            continue
        if found in known:
            yield Wrong((*place, index), f"{value!r} is named twice", "name every category once")
        known.add(found)


def _typed(value: Any, kind: ColumnType) -> Any:
    """The category as a value of its column; raises `ValueError`."""
    types: dict[ColumnType, type[Any]] = {"string": str, "int64": int, "bool": bool, "date": str}
    if type(value) is not types[kind] or (kind == "int64" and not -(2**63) <= value < 2**63):
        raise ValueError(value)
    return date.fromisoformat(value) if kind == "date" else value


def _cells(by: Sequence[GroupColumn], categories: Sequence[Sequence[Any]]) -> pl.DataFrame:
    named = [[_typed(one, group.kind.type) for one in values] for group, values in zip(by, categories, strict=True)]
    rows = list(product(*named))
    columns = [pl.Series(group.name, [row[i] for row in rows], dtype=group.kind.polars) for i, group in enumerate(by)]
    texts = [orjson.dumps(row).decode() if len(row) > 1 else str(*row) for row in rows]
    return pl.DataFrame([*columns, pl.Series(CELL, texts, dtype=pl.String)])


def _question(column: AggregateColumn, noise: Noise, cells: tuple[str, ...], of: int) -> Question:
    whole = Cost.of(noise.epsilon, noise.delta)
    shared: dict[str, Any] = {
        "cost": Cost(whole.epsilon / of, whole.delta / of),
        "subject": None if noise.subject is None else SUBJECT,
        "contributions": noise.at_most,
        "categories": cells,
    }
    if column.function != "sum":
        return Question("histogram", column=CELL, **shared)
    bounds = noise.bounds[column.name]
    return Question(
        "sum", column=VALUE, lower=bounds.min, upper=bounds.max, step=_step(column, bounds), by=CELL, **shared
    )


def _step(column: AggregateColumn, bounds: Bounds) -> float:
    kind = column.kind
    finest = Fraction(1, 10**kind.scale) if kind.type == "decimal" else Fraction(1)
    if bounds.step is None:
        if kind.type == "int64":
            return 1
        widest = max(abs(bounds.min), abs(bounds.max)) or 1
        rough = Fraction(10) ** math.floor(math.log10(widest / _ROUGHLY))
        return float(rough if kind.type == "float64" else max(finest, rough))
    if kind.type != "float64" and (Fraction(str(bounds.step)) / finest).denominator != 1:
        wrong = f"{bounds.step:g} is no multiple of {float(finest):g}, the finest that {column.name} holds"
        raise MisfitError(wrong, "give a coarser step", ("step",))
    return bounds.step


def _place(misfit: MisfitError, column: str) -> Path:
    where = _PLACES.get(str(misfit.at[0]) if misfit.at else "", ())
    of_sum = where and where[0] in ("min", "max", "step")
    return ("noise", *(("bounds", column) if of_sum else ()), *where)


def _column(text: str, kinds: Mapping[str, Kind]) -> str:
    node = parse(text)
    if not isinstance(node, exp.Column):
        raise ExpressionError(text, 1, f"{text} is no column", "derive a column first, then name it")
    return column_kind(text, node, kinds)[0]
