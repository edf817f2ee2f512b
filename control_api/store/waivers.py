"""Waivers of runs: written in the transaction that makes the run, and never changed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from control_api.store.db import Connection
from schemas.waiver import Waiver


def put(
    conn: Connection, run: str, tables: Collection[str], actor: str, permit: str, reason: str, hours: float
) -> None:
    conn.execute(
        "INSERT INTO metal.waivers (run, tables, actor, permit, reason, until)"
        " VALUES (%s, %s, %s, %s, %s, clock_timestamp() + %s)",
        (run, Jsonb(list(tables)), actor, permit, reason, timedelta(hours=hours)),
    )


def waiver(row: dict[str, Any] | None) -> Waiver | None:
    """Of a row of metal.waivers as JSON."""
    if row is None:
        return None
    at, until = (datetime.fromisoformat(row[name]) for name in ("at", "until"))
    return Waiver(tuple(row["tables"]), row["actor"], row["permit"], row["reason"], at, until)


def waived_tables(conn: Connection, runs: Collection[str]) -> dict[str, frozenset[str]]:
    """Of those of these runs that have a waiver."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute("SELECT run, tables FROM metal.waivers WHERE run = ANY(%s)", (sorted(runs),)).fetchall()
    return {run: frozenset(tables) for run, tables in rows}


def over(conn: Connection, run: str) -> bool:
    """Whether the time is over for which rows of the run are kept."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "SELECT 1 FROM metal.waivers WHERE run = %s AND until <= clock_timestamp()", (run,)
        ).fetchone()
    return row is not None


def holding(conn: Connection) -> int:
    """How many runs with a waiver hold rows."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "SELECT count(*) FROM metal.waivers w"
            " WHERE EXISTS (SELECT 1 FROM metal.outbox_tables o WHERE o.run = w.run)"
        ).fetchone()
    return int(row[0]) if row else 0
