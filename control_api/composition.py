"""The composition root: finds what a task may name by walking packages. The only place that knows them all.

A rule, method, source or type of connection is one file with one class that has a `name`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import connectors.connections
import connectors.sources
import processors.anonymize
import processors.rules
from connectors.connections.contract import ConnectionKind
from connectors.sources.contract import SourceKind
from processors.aggregate.noise_plan import noise_of
from processors.anonymize.protocol import Anonymization
from processors.anonymize.runner import CompiledMethods, compile_methods, embed_files
from processors.rules.protocol import Rule
from processors.rules.runner import compile_rules
from processors.transform.outputs import outputs
from processors.transform.small_groups import embed_levels
from processors.wrong_config import ConfigError, Wrong
from schemas.discovery import discover
from schemas.task.components import Components
from schemas.task.jsonschema import task_schema
from schemas.task.model import Column, Task
from schemas.task.text import Finding, Place


@cache
def components() -> Components:
    """Everything that a task may name."""
    rules = discover(processors.rules, Rule)
    methods = discover(processors.anonymize, Anonymization)
    sources = discover(connectors.sources, SourceKind)
    connections = discover(connectors.connections, ConnectionKind)
    return Components(
        rules=rules,
        sources=sources,
        methods=methods,
        connections=connections,
        outputs=outputs,
        inspections=(
            lambda task, _: _inspect_rules(task, rules),
            lambda task, base: _inspect_methods(task, base, methods),
            lambda task, _: _inspect_noise(task),
            _inspect_levels,
        ),
    )


def task_json_schema() -> dict[str, Any]:
    """The JSON Schema of a task file, its components included."""
    return task_schema(components())


def write_task_json_schema(path: Path) -> None:
    """Writes what `docs/task.schema.json` holds."""
    path.write_text(json.dumps(task_json_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _inspect_rules(task: Task, rules: dict[str, Any]) -> list[Finding]:
    findings: list[Finding] = []
    for name, table in task.tables.items():
        try:
            compile_rules(table.columns, rules)
        except ConfigError as error:
            findings += _findings(("tables", name, "columns"), error.mistakes)
    return findings


def _inspect_methods(task: Task, base: Path, methods: dict[str, Any]) -> list[Finding]:
    given, _ = outputs(task)
    findings: list[Finding] = []
    for name, table in task.tables.items():
        if name not in given:
            continue
        columns = {column: Column(type=kind.type, scale=kind.scale) for column, kind in given[name].items()}
        place: Place = ("tables", name, "anonymize")
        try:
            whole = embed_files(table.anonymize, methods, lambda path: _read(base, path))
            compiled = compile_methods(name, columns, whole, methods, given)
            if compiled.group is not None and compiled.group.windows is not None:
                findings += _misplaced(task, name, compiled)
        except ConfigError as error:
            findings += _findings(place, error.mistakes)
    return findings


def _inspect_noise(task: Task) -> list[Finding]:
    given, _ = outputs(task)
    findings: list[Finding] = []
    for name in task.tables:
        try:
            if name in given:
                noise_of(name, task)
        except ConfigError as error:
            findings += _findings((), error.mistakes)
    return findings


def _inspect_levels(task: Task, base: Path) -> list[Finding]:
    """What is wrong with hierarchies that small groups are merged along."""
    tables, findings = {}, []
    for name, table in task.tables.items():
        try:
            steps = embed_levels(table.transform, lambda path: _read(base, path))
            tables[name] = table.model_copy(update={"transform": steps})
        except ConfigError as error:
            findings += _findings(("tables", name, "transform"), error.mistakes)
    if len(tables) < len(task.tables):
        return findings
    return outputs(task.model_copy(update={"tables": tables}))[1]


def _misplaced(task: Task, name: str, compiled: CompiledMethods) -> list[Finding]:
    """Windows belong to collected tables of continuous tasks."""
    place: Place = ("tables", name, "anonymize", compiled.group_at, "window")
    if task.mode != "continuous":
        return [Finding(place, "a snapshot has no windows", "leave it out: the table is grouped whole, at its end")]
    if task.tables[name].derived:
        wrong = "a derived table has no windows: each record that comes changes rows that were published"
        return [Finding(place, wrong, "leave it out, and all rows are grouped anew at each epoch")]
    return [
        Finding(place, f"{other} looks at the whole table, which no window sees", f"leave out {other}, or the window")
        for other, _ in compiled.cleared
    ]


def _read(base: Path, path: str) -> str:
    try:
        return (base / path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise OSError(f"{path} is not UTF-8") from error


def _findings(place: Place, mistakes: tuple[Wrong, ...]) -> list[Finding]:
    return [Finding((*place, *wrong.path), wrong.wrong, wrong.right) for wrong in mistakes]


if __name__ == "__main__":  # python -m control_api.composition
    write_task_json_schema(Path(__file__).parents[1] / "docs" / "task.schema.json")
