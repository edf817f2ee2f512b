"""Tasks and their versions. A version's text and spec are never changed; a new text is a new version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from psycopg.rows import dict_row, tuple_row
from psycopg.types.json import Json

from control_api.store.db import Connection
from schemas.errors import NotFound
from schemas.task.model import Task

_LOCK: Final = 0x6D65_0003
_SELECT: Final = "SELECT name, version, spec, text, base, released_at, created_at, created_by FROM metal.tasks"


@dataclass(frozen=True)
class TaskVersion:
    name: str
    version: int
    spec: Task
    text: str
    base: Path
    released_at: datetime | None
    created_at: datetime
    created_by: str

    @property
    def released(self) -> bool:
        return self.released_at is not None


def get_task(conn: Connection, name: str, version: int | None = None) -> TaskVersion:
    """A version of a task; the newest if none is named."""
    found = _query(
        conn,
        "WHERE name = %(name)s AND (%(version)s::int IS NULL OR version = %(version)s) ORDER BY version DESC LIMIT 1",
        {"name": name, "version": version},
    )
    if not found:
        what = f"task {name!r}" if version is None else f"version {version} of task {name!r}"
        raise NotFound(f"there is no {what}")
    return found[0]


def newest_released(conn: Connection, name: str) -> TaskVersion | None:
    found = _query(
        conn,
        "WHERE name = %(name)s AND released_at IS NOT NULL ORDER BY version DESC LIMIT 1",
        {"name": name},
    )
    return found[0] if found else None


def versions_of(conn: Connection, name: str) -> list[TaskVersion]:
    """The newest first; none if there is no such task."""
    return _query(conn, "WHERE name = %(name)s ORDER BY version DESC", {"name": name})


def list_tasks(conn: Connection, limit: int = 50, cursor: str | None = None) -> list[TaskVersion]:
    """The newest version of each task, by name. `cursor` is the last name of the page before."""
    return _query(
        conn,
        "WHERE (name, version) IN (SELECT name, max(version) FROM metal.tasks GROUP BY name)"
        " AND (%(cursor)s::text IS NULL OR name > %(cursor)s) ORDER BY name LIMIT %(limit)s",
        {"limit": limit, "cursor": cursor},
    )


def lock_task(conn: Connection, name: str) -> None:
    """Until the transaction ends nobody else adds a version to the task or starts it."""
    conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, name))


def add_version(conn: Connection, spec: Task, text: str, base: Path, created_by: str) -> int:
    """Adds a version; call it with the task locked."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "INSERT INTO metal.tasks (name, version, spec, text, base, created_by)"
            " SELECT %(name)s, coalesce(max(version), 0) + 1, %(spec)s, %(text)s, %(base)s, %(by)s"
            " FROM metal.tasks WHERE name = %(name)s RETURNING version",
            {"name": spec.task, "spec": Json(dump(spec)), "text": text, "base": str(base), "by": created_by},
        ).fetchone()
    return int(row[0]) if row else 0


def release(conn: Connection, name: str, version: int) -> bool:
    """False if it was released already."""
    done = conn.execute(
        "UPDATE metal.tasks SET released_at = clock_timestamp()"
        " WHERE name = %s AND version = %s AND released_at IS NULL",
        (name, version),
    )
    return done.rowcount == 1


def dump(spec: Task) -> dict[str, Any]:
    """The whole spec, defaults included, so that a later version's defaults don't change what was released."""
    return spec.model_dump(mode="json", by_alias=True)


def _query(conn: Connection, where: str, values: dict[str, Any]) -> list[TaskVersion]:
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(f"{_SELECT} {where}".encode(), values).fetchall()
    return [
        TaskVersion(**(row | {"spec": Task.model_validate(row["spec"]), "base": Path(row["base"])})) for row in rows
    ]
