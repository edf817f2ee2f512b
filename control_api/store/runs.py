"""Runs and the spec each of them runs. Reading only; what changes a run stands in `control_api/actions`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from control_api.store.db import Connection
from control_api.store.waivers import waiver
from schemas.errors import NotFound
from schemas.run import State
from schemas.task.model import Task
from schemas.waiver import Waiver, without_methods

OPEN: Final = "(r.state IN ('running', 'paused') OR (r.state = 'prepared' AND r.ended_at IS NULL))"


@dataclass(frozen=True)
class Run:
    """A run. `partitions` and `lanes` are null until it is planned; relative paths start from `base`.

    `spec` is the task as it was released, `carried_out` what is made of it where the run has a waiver.
    """

    run: str
    task: str
    version: int
    mode: str
    state: State
    reason: str | None
    notes: list[str]
    partitions: int | None
    lanes: int | None
    spec: Task
    base: Path
    code_version: str
    fingerprint: str
    created_at: datetime
    started_at: datetime | None
    first_row_at: datetime | None
    prepared_at: datetime | None
    ended_at: datetime | None
    created_by: str
    waiver: Waiver | None = None

    @property
    def carried_out(self) -> Task:
        return self.spec if self.waiver is None else without_methods(self.spec, self.waiver.tables)

    def waives(self, table: str) -> bool:
        """Whether the table is carried out without anonymization."""
        return self.waiver is not None and table in self.waiver.tables

    @property
    def planned(self) -> bool:
        return self.partitions is not None

    @property
    def open(self) -> bool:
        """Its sources may still be read: it has its key."""
        return self.ended_at is None and self.state in ("running", "paused", "prepared")


_SELECT: Final = """
SELECT r.run, r.task, r.version, r.mode, r.state, r.reason, r.notes, r.partitions, r.lanes, t.spec, t.base,
       r.code_version, r.fingerprint, r.created_at, r.started_at, r.first_row_at, r.prepared_at, r.ended_at,
       r.created_by, (SELECT to_jsonb(w) FROM metal.waivers w WHERE w.run = r.run) AS waiver
FROM metal.runs r JOIN metal.tasks t ON t.name = r.task AND t.version = r.version
"""


def get_run(conn: Connection, run: str) -> Run:
    found = _query(conn, "WHERE r.run = %s", (run,))
    if not found:
        raise NotFound(f"there is no run {run!r}")
    return found[0]


def list_runs(
    conn: Connection,
    task: str | None = None,
    states: Collection[str] | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> list[Run]:
    """The newest first. `cursor` is the last run of the page before."""
    where = """
    WHERE (%(task)s::text IS NULL OR r.task = %(task)s)
      AND (%(states)s::text[] IS NULL OR r.state = ANY(%(states)s))
      AND (%(cursor)s::text IS NULL
           OR (r.created_at, r.run) < (SELECT created_at, run FROM metal.runs WHERE run = %(cursor)s))
    ORDER BY r.created_at DESC, r.run DESC LIMIT %(limit)s
    """
    wanted = None if states is None else list(states)
    return _query(conn, where, {"task": task, "states": wanted, "limit": limit, "cursor": cursor})


def open_runs(conn: Connection) -> list[Run]:
    """Runs that still have their key, the oldest first."""
    return _query(conn, f"WHERE {OPEN} ORDER BY r.created_at, r.run", ())


def _query(conn: Connection, where: str, values: Sequence[Any] | dict[str, Any]) -> list[Run]:
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute((_SELECT + where).encode(), values).fetchall()
    return [Run(**(row | _read(row))) for row in rows]


def _read(row: dict[str, Any]) -> dict[str, Any]:
    spec = Task.model_validate(row["spec"])
    return {"spec": spec, "base": Path(row["base"]), "waiver": waiver(row["waiver"])}


def add_notes(conn: Connection, run: str, notes: Sequence[str]) -> None:
    """What a person should know of a run, beside its state."""
    conn.execute("UPDATE metal.runs SET notes = notes || %s WHERE run = %s", (Jsonb(list(notes)), run))
