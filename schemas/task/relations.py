"""Checks between the parts of a task: references, derived tables, anonymization, connections, the module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from schemas.task.components import Components, Outputs
from schemas.task.form import meant, validated, validated_options
from schemas.task.model import Join, Method, Secret, Table, Task
from schemas.task.text import Finding, Place

WORDS: Final = 50  # of a published module's description (R-M5)
_SECRET_KEY: Final = re.compile(r"(?:^|_)(?:key|secret|password|passphrase|token|url|uri|dsn|credentials?)$")


def check_relations(task: Task, components: Components, broken: frozenset[str]) -> Iterator[Finding]:
    """`broken` are tables whose form is wrong: what is said about them is not judged."""
    for name, table in task.tables.items():
        yield from _references(task, table, ("tables", name, "columns"), broken)
        if table.derived:
            yield from _derived(task, name, table, broken)
    yield from _connections(task, components)
    yield from _publish(task)
    yield from _mode(task)


def _references(task: Task, table: Table, place: Place, broken: frozenset[str]) -> Iterator[Finding]:
    for name, column in table.columns.items():
        if column.references is None:
            continue
        here = (*place, name, "references")
        target, of = column.references.split(".")
        if target in broken:
            continue
        if target not in task.tables:
            known = [other for other, found in task.tables.items() if not found.derived]
            yield Finding(here, f"there is no table {target}", meant(target, known))
        elif task.tables[target].derived:
            yield Finding(here, f"{target} is a derived table", "refer to a collected table")
        elif of not in task.tables[target].columns:
            right = meant(of, task.tables[target].columns)
            yield Finding(here, f"the table {target} has no column {of}", right)
        else:
            other = task.tables[target].columns[of]
            if (column.type, column.scale) != (other.type, other.scale):
                right = "give both columns the same type and scale"
                yield Finding(here, f"{name} is {column.type} but {target}.{of} is {other.type}", right)


def _derived(task: Task, name: str, table: Table, broken: frozenset[str]) -> Iterator[Finding]:
    for base, joins in (table.from_ or {}).items():
        place: Place = ("tables", name, "from", base)
        if base in broken:
            continue
        if base not in task.tables:
            others = [other for other in task.tables if other != name]
            yield Finding(place, f"there is no table {base}", meant(base, others))
        elif name in _ancestors(task, name):
            yield Finding(place, f"{name} is derived from itself", "derive it from a collected table")
        yield from _joins(task, base, joins, place, broken)


def _ancestors(task: Task, name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        table = task.tables.get(waiting.pop())
        above = set((table.from_ or {}) if table else {}) - found
        found |= above
        waiting += above
    return found


def _joins(task: Task, base: str, joins: Join, place: Place, broken: frozenset[str]) -> Iterator[Finding]:
    for other, by in joins.join.items():
        here = (*place, "join", other)
        if other in broken:
            continue
        table = task.tables.get(other)
        if table is None:
            yield Finding(here, f"there is no table {other}", meant(other, task.tables))
        elif other == base:
            yield Finding(here, f"{base} joins itself", "join another table")
        elif table.derived or table.primary_key is None or len(table.primary_key.columns) != 1:
            right = "join a table whose primary key is one column"
            yield Finding(here, f"{other} has no primary key of one column", right)
        else:
            yield from _met(task, base, by, other, here)


def _met(task: Task, base: str, by: str, other: str, here: Place) -> Iterator[Finding]:
    table, target = task.tables.get(base), task.tables[other]
    if table is None or table.derived or target.primary_key is None:
        return
    if by not in table.columns:
        derived = [name for step in table.transform for name in step.derive or {}]
        if by not in derived:
            right = meant(by, [*table.columns, *derived])
            yield Finding(here, f"the table {base} has no column {by}", right)
        return
    key = target.columns.get(target.primary_key.columns[0])
    if key is not None and (table.columns[by].type, table.columns[by].scale) != (key.type, key.scale):
        wrong = f"{base}.{by} is {table.columns[by].type} but the key of {other} is {key.type}"
        yield Finding(here, wrong, "join columns of the same type and scale")


def check_methods(task: Task, outputs: Outputs) -> Iterator[Finding]:
    """Every column that an anonymization method names is one that the table has after its transforms."""
    for name, table in task.tables.items():
        if name not in outputs:
            continue
        for index, method in enumerate(table.anonymize):
            for where, column in _named(method):
                if column not in outputs[name]:
                    place = ("tables", name, "anonymize", index, *where)
                    yield Finding(place, f"there is no column {column}", meant(column, outputs[name]))


def _named(method: Method) -> Iterator[tuple[Place, str]]:
    for option in ("columns", "quasi_identifiers", "sensitive", "subject"):
        value: Any = method.options.get(option)
        if isinstance(value, str):
            yield (option,), value
        elif isinstance(value, list):
            yield from (((option, i), one) for i, one in enumerate(value) if isinstance(one, str))
        elif isinstance(value, dict):
            yield from (((option, one), one) for one in value)


def _connections(task: Task, components: Components) -> Iterator[Finding]:
    used = {source.connection for table in task.tables.values() for source in table.sources.values()}
    used.add(task.publish.to.get("connection") if task.publish else None)
    for name, connection in task.connections.items():
        place: Place = ("connections", name)
        known = components.connections.get(connection.type)
        if known is None:
            right = meant(connection.type, components.connections)
            yield Finding((*place, "type"), f"there is no type of connection {connection.type}", right)
        secrets = list(_secrets(connection.options, place, getattr(known, "plain", frozenset())))
        yield from secrets
        if known is not None:
            found = validated_options(getattr(known, "Config", known), connection.options, place)
            told = {finding.place for finding in secrets}
            yield from (finding for finding in found if finding.place not in told)
        if name not in used:
            yield Finding(place, f"nothing uses the connection {name}", "remove it", severity="warning")


def _secrets(options: dict[str, Any], place: Place, plain: frozenset[str]) -> Iterator[Finding]:
    """A secret is named, never written down; and its value is never repeated here."""
    for key, value in options.items():
        here = (*place, key)
        if isinstance(value, dict) and ({"env", "file"} & value.keys()):
            for finding in validated(Secret, value, here)[1]:
                yield Finding(finding.place, finding.wrong, "write {env: NAME} or {file: PATH}")
        elif isinstance(value, dict):
            yield from _secrets(value, here, plain)
        elif value is not None and key not in plain and _SECRET_KEY.search(key.lower()):
            right = f"write {key}: {{env: NAME}} or {key}: {{file: PATH}}"
            yield Finding(here, f"the value of {key} stands in the file", right)


def _publish(task: Task) -> Iterator[Finding]:
    if task.publish is None:
        return
    words = len(task.description.split())
    if words < WORDS:
        right = f"describe the module's logic in at least {WORDS}"
        yield Finding(("description",), f"a module is published with a description of {words} words", right)
    connection = task.publish.to.get("connection")
    if connection is not None and connection not in task.connections:
        right = meant(str(connection), task.connections)
        yield Finding(("publish", "to", "connection"), f"there is no connection {connection}", right)
    if "connector" not in task.publish.to:
        yield Finding(("publish", "to"), "connector is missing", "name where the module goes, such as postgres")


def _mode(task: Task) -> Iterator[Finding]:
    if task.mode == "snapshot" and "epoch" in task.model_fields_set:
        right = "write mode: continuous, or remove epoch"
        yield Finding(("epoch",), "a snapshot is one epoch, however long", right)
