"""Checks of one table by itself: its parts, names, key, sources, steps and rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from schemas.task.changes import check_changes, told_columns
from schemas.task.components import Components
from schemas.task.form import meant, validated, validated_options
from schemas.task.model import Prefer, Source, Step, Table, Task
from schemas.task.text import Finding, Place

KINDS: Final = ("filter", "derive", "aggregate")


def check_tables(task: Task, components: Components) -> Iterator[Finding]:
    yield from _clashes(task.tables, ("tables",))
    for name, table in task.tables.items():
        place: Place = ("tables", name)
        yield from _parts(table, place)
        yield from _clashes(table.columns, (*place, "columns"))
        yield from _rules(table, place, components)
        yield from _key(table, place)
        for source_name, source in table.sources.items():
            yield from _source(table, source, (*place, "sources", source_name), task, components)
        for index, step in enumerate(table.transform):
            yield from _step(table, step, index, (*place, "transform", index))
        for index, method in enumerate(table.anonymize):
            yield from _component(
                method.method, method.options, components.methods, (*place, "anonymize", index), "method"
            )


def _clashes(names: Iterable[str], place: Place) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in names:
        if (first := seen.setdefault(name.lower(), name)) != name:
            yield Finding((*place, name), f"{name} and {first} differ in case alone", "rename one of them")


def _parts(table: Table, place: Place) -> Iterator[Finding]:
    if not table.derived:
        for part in ("columns", "sources"):
            if not getattr(table, part):
                right = f"write {part}: {{NAME: ...}}, or from: {{TABLE: {{}}}} for a derived table"
                yield Finding(place, f"a table without {part}", right)
        return
    for part in ("columns", "sources", "primary_key"):
        if getattr(table, part):
            right = f"remove {part}, or remove from and collect the table"
            yield Finding((*place, part), f"a derived table has no {part} of its own", right)
    if table.from_ is not None and len(table.from_) != 1:
        right = "name one table, the others under its join: from: {order: {join: {product: sku}}}"
        yield Finding((*place, "from"), f"from names {len(table.from_)} tables", right)


def _rules(table: Table, place: Place, components: Components) -> Iterator[Finding]:
    for name, column in table.columns.items():
        for rule, raw in column.rules.items():
            here = (*place, "columns", name, rule)
            known = components.rules.get(rule)
            if known is None:
                right = meant(rule, [*components.rules, "type", "scale", "references"])
                yield Finding(here, f"there is no rule {rule}", right)
            elif column.type not in getattr(known, "types", (column.type,)):
                right = f"it fits {', '.join(sorted(known.types))}"
                yield Finding(here, f"the rule {rule} does not fit a column of type {column.type}", right)
            else:
                yield from validated(known.Config, raw, here)[1]


def _key(table: Table, place: Place) -> Iterator[Finding]:
    if table.primary_key is None or table.derived:
        return
    here = (*place, "primary_key")
    yield from _unknown(table.primary_key.columns, table.columns, (*here, "column"), "column")
    yield from _twice(table.primary_key.columns, (*here, "column"))
    if not table.primary_key.columns:
        yield Finding((*here, "column"), "a key of no column", "name at least one column")
    conflicts = table.primary_key.conflicts
    if isinstance(conflicts, Prefer):
        at = (*here, "conflicts", "prefer")
        yield from _unknown(conflicts.prefer, table.sources, at, "source")
        yield from _twice(conflicts.prefer, at)
        if missing := [name for name in table.sources if name not in conflicts.prefer]:
            right = "list every source of the table, the most trusted first"
            yield Finding(at, f"{', '.join(missing)} is not in the list", right)


def _unknown(names: Iterable[str], known: Iterable[str], place: Place, what: str) -> Iterator[Finding]:
    known = list(known)
    for name in names:
        if name not in known:
            yield Finding(place, f"there is no {what} {name}", meant(name, known))


def _twice(names: list[str], place: Place) -> Iterator[Finding]:
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Finding(place, f"{name} is listed twice", "list it once")


def _source(table: Table, source: Source, place: Place, task: Task, components: Components) -> Iterator[Finding]:
    yield from _component(source.connector, source.options, components.sources, place, "connector")
    yield from _connection(source, place, task, components)
    yield from _unknown(source.rename.values(), [*table.columns, *told_columns(source)], (*place, "rename"), "column")
    yield from _twice(list(source.rename.values()), (*place, "rename"))
    ordered = getattr(components.sources.get(source.connector), "ordered", True)
    yield from check_changes(table, source, (*place, "changes"), ordered)


def _connection(source: Source, place: Place, task: Task, components: Components) -> Iterator[Finding]:
    kind = components.connections.get(source.connector)
    if source.connection is None:
        if kind is not None and getattr(kind, "required", True):
            right = f"add connection: NAME, of a connection of type {source.connector}"
            yield Finding(place, f"the connector {source.connector} needs a connection", right)
        return
    here = (*place, "connection")
    if source.connection not in task.connections:
        right = meant(source.connection, task.connections)
        yield Finding(here, f"there is no connection {source.connection}", right)
    elif kind is None and source.connector in components.sources:
        yield Finding(here, f"the connector {source.connector} uses no connection", "remove it")
    elif kind is not None and (found := task.connections[source.connection].type) != source.connector:
        right = f"name one of type {source.connector}"
        yield Finding(here, f"{source.connection} is a connection of type {found}", right)


def _component(
    name: str, options: dict[str, Any], known: Mapping[str, type[Any]], place: Place, what: str
) -> Iterator[Finding]:
    if name not in known:
        yield Finding((*place, what), f"there is no {what} {name}", meant(name, known))
    else:
        yield from validated_options(known[name].Config, options, place)


def _step(table: Table, step: Step, index: int, place: Place) -> Iterator[Finding]:
    given = [kind for kind in KINDS if getattr(step, kind) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        right = f"write exactly one of {', '.join(KINDS)}; a second one is a step of its own"
        yield Finding(place, f"a step with {found}", right)
    if step.derive is not None and not step.derive:
        yield Finding((*place, "derive"), "derives nothing", "write derive: {COLUMN: EXPRESSION}")
    if step.aggregate is None:
        return
    if index != len(table.transform) - 1:
        yield Finding((*place, "aggregate"), "a step follows the aggregate", "make the aggregate the last step")
    if not table.derived:
        right = "aggregate in a table of its own: NAME: {from: {TABLE: {}}, transform: [...]}"
        yield Finding((*place, "aggregate"), "a collected table is not aggregated", right)
