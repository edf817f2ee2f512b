"""Reads the files that a task names beside its sources into its spec: what is released stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from processors.anonymize.runner import embed_files as embed_in_methods
from processors.rules.runner import embed_files as embed_in_rules
from processors.transform.small_groups import embed_levels
from processors.wrong_config import ConfigError, Wrong
from schemas.errors import InvalidInput, Mistake
from schemas.task.components import Components
from schemas.task.model import Table, Task


def embed(task: Task, base: Path, components: Components, file: str) -> Task:
    """The task with nothing left to read beside it but its sources."""

    def read(path: str) -> str:
        try:
            return (base / path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise OSError(f"{path} is not UTF-8") from error

    mistakes: list[Mistake] = []
    tables = {name: _table(name, table, read, components, file, mistakes) for name, table in task.tables.items()}
    if mistakes:
        raise InvalidInput(mistakes)
    return task.model_copy(update={"tables": tables})


def _table(
    name: str, table: Table, read: Callable[[str], str], components: Components, file: str, mistakes: list[Mistake]
) -> Table:
    columns, methods, steps = table.columns, table.anonymize, table.transform
    try:
        columns = embed_in_rules(table.columns, components.rules, read)
    except ConfigError as error:
        mistakes += _told(file, f"tables.{name}.columns", error.mistakes)
    try:
        methods = embed_in_methods(table.anonymize, components.methods, read)
    except ConfigError as error:
        mistakes += _told(file, f"tables.{name}.anonymize", error.mistakes)
    try:
        steps = embed_levels(table.transform, read)
    except ConfigError as error:
        mistakes += _told(file, f"tables.{name}.transform", error.mistakes)
    return table.model_copy(update={"columns": columns, "anonymize": methods, "transform": steps})


def _told(file: str, place: str, found: tuple[Wrong, ...]) -> list[Mistake]:
    return [Mistake(file, 1, ".".join([place, *map(str, one.path)]), one.wrong, one.right) for one in found]
