"""A task compiled into what the stages call: rules, merge, references, transforms and anonymization of each table.

A function of the spec and the components that were found; knows no topic, database or file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from processors.aggregate.derive import DerivedTable, compile_derived
from processors.anonymize.protocol import Anonymization
from processors.anonymize.runner import CompiledMethods, compile_methods
from processors.merge.resolve import IDENT, MergePlan
from processors.references.survivors import Reference
from processors.rules.protocol import Rule
from processors.rules.runner import CompiledRules, compile_rules
from processors.transform.outputs import table_plan
from processors.transform.steps import RecordTransform
from schemas.columns import CHANGED, OP, POSITION, SOURCE, ColumnType
from schemas.errors import Fatal
from schemas.task.model import Column, Kind, Prefer, Table, Task


@dataclass(frozen=True)
class OutputPlan:
    """How rows of one table leave for the review store."""

    name: str
    methods: CompiledMethods
    output: tuple[str, ...]
    linked: OutputPlan | None = None


@dataclass(frozen=True)
class TablePlan:
    """A collected table."""

    name: str
    columns: tuple[str, ...]
    text_columns: tuple[str, ...]
    sources: tuple[str, ...]
    source_options: tuple[dict[str, Any], ...]  # as the task gives them
    change_columns: tuple[str, ...]  # `_pos` and `_op` where a source tells changes
    declared: dict[str, Column]
    rules: CompiledRules
    merge: MergePlan
    transform: RecordTransform | None
    carried: tuple[str, ...]  # the columns after transforms
    carried_schema: dict[str, pl.DataType]
    output_plan: OutputPlan
    stored: tuple[str, ...]  # the columns that go on behind the rules: nothing looks at the others any more


@dataclass(frozen=True)
class DerivedPlan:
    """A table computed from others."""

    table: DerivedTable
    output_plan: OutputPlan


@dataclass(frozen=True)
class TaskPlan:
    tables: dict[str, TablePlan]
    derived: dict[str, DerivedPlan]
    references: tuple[Reference, ...]
    needed: dict[str, tuple[str, ...]]  # table -> columns that references, joins and aggregates look at
    epoch: float = 2.0  # seconds, of a continuous run

    @property
    def relational(self) -> bool:
        """Tables meet each other, or a table is looked at as a whole, so they go by the relate stage."""
        grouped = any(output.methods.group for output in self.outputs().values())
        return bool(self.references or self.derived or grouped)

    def outputs(self) -> dict[str, OutputPlan]:
        """Of every table that a run prepares: also of those that a method makes beside another."""
        found: dict[str, TablePlan | DerivedPlan] = {**self.tables, **self.derived}
        plans = {name: plan.output_plan for name, plan in found.items()}
        return plans | {one.linked.name: one.linked for one in plans.values() if one.linked is not None}


def compile_task(task: Task, rules: Mapping[str, type[Rule]], methods: Mapping[str, type[Anonymization]]) -> TaskPlan:
    tables: dict[str, TablePlan] = {}
    derived: dict[str, DerivedPlan] = {}
    for name, table in task.tables.items():
        if table.derived:
            compiled = compile_derived(name, task)
            derived[name] = DerivedPlan(compiled, _output(name, table, compiled.kinds, methods))
        else:
            tables[name] = _collected(name, table, task, rules, methods)
    references = tuple(_references(task))
    needed = {name: _needed(name, references, derived) for name in tables}
    for name, collected in tables.items():
        needed[name] = tuple(dict.fromkeys((*needed[name], *collected.output_plan.methods.looks)))
    for output in [*(one.output_plan for one in tables.values()), *(one.output_plan for one in derived.values())]:
        for other in output.methods.beside:
            if other.table in needed:
                needed[other.table] = tuple(dict.fromkeys((*needed[other.table], *other.columns)))
        if output.linked is not None and output.linked.name in task.tables:
            raise Fatal(f"tables.{output.linked.name}: the table {output.name} is anatomized into one of this name")
    tables = {name: _without_unread(collected, needed[name]) for name, collected in tables.items()}
    return TaskPlan(tables, _in_order(derived), references, needed, task.epoch)


def _without_unread(table: TablePlan, needed: tuple[str, ...]) -> TablePlan:
    """Enforces: every column that tells whether records are alike, or that a dead letter may have to show, goes on."""
    if table.transform is not None or (table.merge.key and table.merge.strategy != "prefer"):
        return table
    unread = table.output_plan.methods.unread - {*table.merge.key, *needed}
    stored = tuple(name for name in table.columns if name not in unread)
    return replace(table, stored=stored, merge=replace(table.merge, columns=stored))


def _in_order(derived: Mapping[str, DerivedPlan]) -> dict[str, DerivedPlan]:
    """What is derived from a derived table comes behind it."""
    ordered: dict[str, DerivedPlan] = {}

    def add(name: str) -> None:
        if name in ordered or name not in derived:
            return
        for below in derived[name].table.needed:
            add(below)
        ordered[name] = derived[name]

    for name in derived:
        add(name)
    return ordered


def _output(
    name: str, table: Table, kinds: Mapping[str, Kind], methods: Mapping[str, type[Anonymization]]
) -> OutputPlan:
    columns = {column: Column(type=kind.type, scale=kind.scale) for column, kind in kinds.items()}
    compiled = compile_methods(name, columns, table.anonymize, methods)
    return OutputPlan(name, compiled, tuple(compiled.output_columns), _linked(compiled))


def _linked(methods: CompiledMethods) -> OutputPlan | None:
    if methods.group is None or methods.linked is None:
        return None
    columns = dict(methods.group.linked)
    return OutputPlan(methods.linked, CompiledMethods(methods.linked, columns, ()), tuple(columns))


def _collected(
    name: str,
    table: Table,
    task: Task,
    rules: Mapping[str, type[Rule]],
    methods: Mapping[str, type[Anonymization]],
) -> TablePlan:
    transform, grouped = table_plan(name, task)
    if grouped is not None:
        raise Fatal(f"tables.{name}.transform: aggregate in a table of its own, with `from: {{{name}: {{}}}}`")
    tells = any(source.changes for source in table.sources.values())
    return TablePlan(
        name=name,
        columns=tuple(table.columns),
        text_columns=tuple(c for c, column in table.columns.items() if column.type in ("string", "json")),
        sources=tuple(table.sources),
        source_options=tuple(source.options for source in table.sources.values()),
        change_columns=(POSITION, OP) if tells else (),
        declared=table.columns,
        rules=compile_rules(table.columns, rules),
        merge=_merge(name, table),
        transform=transform if transform.operations else None,
        carried=tuple(transform.columns),
        carried_schema=_schema(transform.columns),
        output_plan=_output(name, table, transform.columns, methods),
        stored=tuple(table.columns),
    )


def _schema(kinds: Mapping[str, Kind]) -> dict[str, pl.DataType]:
    own: dict[str, pl.DataType] = {IDENT: pl.UInt64(), SOURCE: pl.UInt16(), CHANGED: pl.UInt64()}
    return own | {name: kind.polars for name, kind in kinds.items()}


def _merge(name: str, table: Table) -> MergePlan:
    columns = tuple(table.columns)
    if table.primary_key is None:
        return MergePlan(columns)
    key = tuple(table.primary_key.columns)
    conflicts = table.primary_key.conflicts
    sources = list(table.sources)
    changes = frozenset(i for i, source in enumerate(table.sources.values()) if source.changes)
    if isinstance(conflicts, Prefer):
        ranks = tuple(conflicts.prefer.index(source) for source in sources)
        return MergePlan(columns, key, "prefer", ranks, changes)
    if conflicts == "drop_all":
        return MergePlan(columns, key, "drop_all", (), changes)
    regenerate = next((c for c in key if table.columns[c].type in ("int64", "string")), None)
    if regenerate is None:
        raise Fatal(f"tables.{name}.primary_key: keep_all gives new keys to columns of type int64 or string only")
    kind: ColumnType = table.columns[regenerate].type
    return MergePlan(columns, key, "keep_all", (), changes, regenerate, kind)


def _references(task: Task) -> list[Reference]:
    found = []
    for name, table in task.tables.items():
        for column, spec in table.columns.items():
            if spec.references:
                target, target_column = spec.references.split(".")
                found.append(Reference(name, column, target, target_column))
    return found


def _needed(name: str, references: tuple[Reference, ...], derived: Mapping[str, DerivedPlan]) -> tuple[str, ...]:
    columns: dict[str, None] = {}
    for link in references:
        if link.table == name:
            columns[link.column] = None
        if link.target == name:
            columns[link.target_column] = None
    for table in derived.values():
        columns |= dict.fromkeys(table.table.needed.get(name, ()))
    return tuple(columns)
