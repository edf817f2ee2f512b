"""What has stood for long enough to go, and how far a stage topic may be trimmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg.rows import tuple_row

from control_api.store.db import Connection
from control_api.store.runs import OPEN
from schemas.run import REPLAY_LANE
from schemas.topics import partition_of

_KEYS: Final = ("metal.run_keys", "metal.run_secrets")


def overdue(conn: Connection, hours: float) -> list[str]:
    """Runs that are over for longer than that and still hold rows or a key."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT run FROM metal.runs r"
            " WHERE coalesce(prepared_at, ended_at) < clock_timestamp() - make_interval(secs => %s)"
            " AND (ended_at IS NULL OR EXISTS (SELECT 1 FROM metal.outbox_tables o WHERE o.run = r.run))"
            " ORDER BY run",
            (hours * 3600,),
        ).fetchall()
    return [run for (run,) in rows]


def lapsed(conn: Connection) -> list[str]:
    """Runs whose rows should be gone by now and are not, or that are open although it is too late for them."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT w.run FROM metal.waivers w JOIN metal.runs r USING (run) WHERE w.until <= clock_timestamp()"
            " AND (r.ended_at IS NULL OR EXISTS (SELECT 1 FROM metal.outbox_tables o WHERE o.run = w.run))"
            " ORDER BY w.run"
        ).fetchall()
    return [run for (run,) in rows]


def open_names(conn: Connection) -> set[str]:
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(f"SELECT r.run FROM metal.runs r WHERE {OPEN}".encode()).fetchall()
    return {run for (run,) in rows}


def any_in_full(conn: Connection) -> bool:
    """Whether a run is on its way that reads all that its sources have."""
    found = conn.execute("SELECT 1 FROM metal.runs WHERE state = 'running' AND mode = 'snapshot' LIMIT 1").fetchone()
    return found is not None


def consumed(conn: Connection, topic: str) -> dict[int, int]:
    """What the review writer has stored of a topic, by partition: the next offset. It may not be on disk yet."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute("SELECT partition, next_offset FROM metal.consumed WHERE topic = %s", (topic,)).fetchall()
    return dict(rows)


def needed_by_lanes(conn: Connection, partitions: int) -> Mapping[int, int]:
    """Up to where a partition of metal.extracted may go although runs are open; no entry: as far as it was read.

    Whoever takes a lane over reads it back from its checkpoint on.
    """
    bounds: dict[int, int] = {}
    with conn.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(
            "SELECT l.run, l.lane, coalesce((l.checkpoint->>'offset')::bigint + 1, 0) FROM metal.lanes l"
            f" JOIN metal.runs r USING (run) WHERE {OPEN} AND l.generation > 0 AND NOT l.done".encode()
        )
        for run, lane, offset in cursor:
            at = partition_of(run, 0 if lane == REPLAY_LANE else lane, partitions)
            bounds[at] = min(offset, bounds.get(at, offset))
    return bounds


def scrub_keys(conn: Connection) -> bool:
    """Rewrites the tables of keys, so that no file of them holds a destroyed one. False if they are in use.

    The connection must be in autocommit mode.
    """
    try:
        conn.execute("SET lock_timeout = '2s'")
        for table in _KEYS:
            conn.execute(f"VACUUM (FULL) {table}".encode())
    except psycopg.errors.LockNotAvailable:
        return False
    finally:
        conn.execute("RESET lock_timeout")
    return True


def ended(conn: Connection) -> int:
    """How many runs have ended so far."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("SELECT count(*) FROM metal.runs WHERE ended_at IS NOT NULL").fetchone()
    return int(row[0]) if row else 0
