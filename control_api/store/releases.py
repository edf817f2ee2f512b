"""Releases: what left the review store of tables that promise groups, and of totals, kept for good.

What was published can't be taken back, so nothing here is ever deleted. The same content is kept once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row, tuple_row
from psycopg.types.json import Json

from control_api.store.db import Connection
from processors.privacy.releases.versions import Version

_COLUMNS = "task, tab AS table, run, digest, rows, actor, at"


@dataclass(frozen=True)
class Release:
    task: str
    table: str
    run: str
    digest: str
    rows: int
    actor: str
    at: datetime


def lock(conn: Connection, task: str, table: str) -> None:
    """Until the transaction ends nothing else is released under this name: of a table, or of a family by its root's."""
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"release {task}/{table}",))


def put(conn: Connection, actor: str, task: str, table: str, run: str, digest: str, version: Version) -> bool:
    """Whether this run had not released the same before."""
    conn.execute(
        "INSERT INTO metal.release_contents (task, tab, digest, shape, content) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (task, table, digest, Json(version.shape.document()), version.content),
    )
    done = conn.execute(
        "INSERT INTO metal.releases (task, tab, run, digest, rows, actor) VALUES (%s, %s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (task, table, run, digest, version.height, actor),
    )
    return done.rowcount > 0


def releases(conn: Connection, task: str, table: str | None = None) -> list[Release]:
    """Those of a task, or of one of its tables, from the first on."""
    with conn.cursor(row_factory=class_row(Release)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM metal.releases WHERE task = %s AND tab = coalesce(%s, tab)"
            " ORDER BY at, tab, run".encode(),
            (task, table),
        ).fetchall()


def known(conn: Connection, task: str, table: str, digest: str) -> bool:
    """Whether exactly this was released, by whichever run."""
    found = conn.execute(
        "SELECT 1 FROM metal.release_contents WHERE task = %s AND tab = %s AND digest = %s", (task, table, digest)
    ).fetchone()
    return found is not None


def contents(conn: Connection, task: str, table: str) -> Iterator[tuple[str, Version]]:
    """What was released of a table, each content once, one at a time in memory."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        digests = cursor.execute(
            "SELECT digest FROM metal.release_contents WHERE task = %s AND tab = %s ORDER BY digest", (task, table)
        ).fetchall()
        for (digest,) in digests:
            row = cursor.execute(
                "SELECT shape, content FROM metal.release_contents WHERE task = %s AND tab = %s AND digest = %s",
                (task, table, digest),
                binary=True,
            ).fetchone()
            if row is not None:
                yield digest, Version.read(*row)
