"""Opens the sources of a run: their options validated, their secrets resolved, their relative paths made absolute."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from connectors.sources.contract import Context, Source
from schemas.errors import Fatal
from schemas.task.model import Changes, Table, Task


def resolve_secret(value: Any, secrets: Mapping[str, str], base: Path) -> Any:
    """`{env: NAME}` and `{file: PATH}` become their values; everything else stays."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    if "env" in value:
        name = value["env"]
        found = secrets.get(name, os.environ.get(name))
        if found is None:
            raise Fatal(f"the environment variable {name} is not set: set it where `metal run` or `metal up` is called")
        return found
    if "file" in value:
        path = base / value["file"]
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Fatal(f"the secret file {value['file']} can't be read: {error.strerror}") from error
    return value


def open_source(
    task: Task,
    table_name: str,
    source_name: str,
    base: Path,
    secrets: Mapping[str, str],
    kinds: Mapping[str, Any],
    kafka: dict[str, Any],
) -> Source:
    table: Table = task.tables[table_name]
    spec = table.sources[source_name]
    kind = kinds.get(spec.connector)
    if kind is None:
        raise Fatal(f"tables.{table_name}.sources.{source_name}: there is no connector {spec.connector!r}")
    connection: dict[str, Any] = {}
    if spec.connection is not None:
        declared = task.connections[spec.connection]
        connection = {key: resolve_secret(value, secrets, base) for key, value in declared.options.items()}
        connection["type"] = declared.type
    changes = spec.changes if isinstance(spec.changes, Changes) else (Changes() if spec.changes else None)
    context = Context(
        base=base,
        source=source_name,
        connection=connection,
        kafka=kafka,
        rename=spec.rename,
        changes=changes,
        primary_key=tuple(table.primary_key.columns) if table.primary_key else (),
        follow=task.mode == "continuous",
    )
    config = kind.Config.model_validate(
        {key: resolve_secret(value, secrets, base) for key, value in spec.options.items()}
    )
    source: Source = kind.open(config, dict(table.columns), context)
    return source
