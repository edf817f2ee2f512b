"""The columns of a task's tables: what their transforms see and what they give.

A derived table sees the columns of the tables below it as `table.column`. Without an aggregate it gives the
columns of its base table under their own names, then what it derives.
"""

from __future__ import annotations

from collections.abc import Iterable

from processors.transform.aggregates import AggregatePlan, read_aggregate
from processors.transform.steps import RecordTransform, read_steps
from processors.wrong_config import ConfigError, Wrong
from schemas.task.model import Aggregate, Kind, Table, Task
from schemas.task.text import Finding


def input_columns(name: str, task: Task) -> dict[str, Kind]:
    """What the table's transforms see, by the names that the frame has."""
    return _input(name, task, ())


def output_columns(name: str, task: Task) -> dict[str, Kind]:
    """What the table gives after transforms and aggregate; raises `ConfigError`."""
    output, mistakes = _output(name, task, ())
    if mistakes:
        raise ConfigError(mistakes)
    return output


def projection(name: str, task: Task) -> dict[str, str]:
    """Of a table without an aggregate: each column that it gives, and the frame's name for it."""
    given = output_columns(name, task)
    base = next(iter(task.tables[name].from_ or {}), None)
    seen = input_columns(name, task)
    return {column: f"{base}.{column}" if f"{base}.{column}" in seen else column for column in given}


def outputs(task: Task) -> tuple[dict[str, dict[str, Kind]], list[Finding]]:
    """Every table's columns, and every mistake in its expressions. A table whose expressions are wrong is not
    among them, nor is one derived from it."""
    found: dict[str, dict[str, Kind]] = {}
    findings: list[Finding] = []
    for name in task.tables:
        output, mistakes = _output(name, task, ())
        place = ("tables", name, "transform")
        findings += [Finding((*place, *wrong.path), wrong.wrong, wrong.right) for wrong in mistakes]
        if not mistakes and output:
            found[name] = output
    return found, findings


def aggregate_of(table: Table) -> Aggregate | None:
    """The table's aggregate step."""
    return next((step.aggregate for step in table.transform if step.aggregate is not None), None)


def table_plan(name: str, task: Task) -> tuple[RecordTransform, AggregatePlan | None]:
    """The table's record-wise steps and its aggregate, compiled; raises `ConfigError`."""
    transform, plan, mistakes = _plan(name, task, ())
    if mistakes:
        raise ConfigError(mistakes)
    return transform, plan


def _plan(name: str, task: Task, above: tuple[str, ...]) -> tuple[RecordTransform, AggregatePlan | None, list[Wrong]]:
    table = task.tables[name]
    seen = _input(name, task, above)
    if table.derived and not seen:
        return RecordTransform({}), None, []  # its base is wrong, which is told elsewhere
    aggregate = aggregate_of(table)
    taken: Iterable[str] = ()
    if table.derived and aggregate is None:
        base = next(iter(table.from_ or {}))
        taken = [column.removeprefix(f"{base}.") for column in seen if column.startswith(f"{base}.")]
    transform, mistakes = read_steps(table.transform, seen, taken)
    if aggregate is None:
        return transform, None, mistakes
    at = next(index for index, step in enumerate(table.transform) if step.aggregate is aggregate)
    plan, more = read_aggregate(aggregate, transform.columns)
    more = [Wrong((at, "aggregate", *wrong.path), wrong.wrong, wrong.right) for wrong in more]
    return transform, plan, mistakes + more


def _output(name: str, task: Task, above: tuple[str, ...]) -> tuple[dict[str, Kind], list[Wrong]]:
    transform, plan, mistakes = _plan(name, task, above)
    if plan is not None:
        return plan.output, mistakes
    base = next(iter(task.tables[name].from_ or {}), None)
    if base is None:
        return transform.columns, mistakes
    given = {
        column.removeprefix(f"{base}."): kind
        for column, kind in transform.columns.items()
        if "." not in column or column.startswith(f"{base}.")
    }
    return given, mistakes


def _input(name: str, task: Task, above: tuple[str, ...]) -> dict[str, Kind]:
    table = task.tables[name]
    if not table.derived:
        return {column: declared.kind for column, declared in table.columns.items()}
    seen: dict[str, Kind] = {}
    for base, joins in list((table.from_ or {}).items())[:1]:
        for below in (base, *joins.join):
            if below not in task.tables or below in (*above, name):
                return {}
            given, mistakes = _output(below, task, (*above, name))
            if mistakes or not given:
                return {}
            seen |= {f"{below}.{column}": kind for column, kind in given.items()}
    return seen
