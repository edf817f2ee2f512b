"""What reads the sources of a run, and who reads it now.

A lane has one owner at a time, by lease. Each claim raises the lane's generation, and nothing is taken from
an owner whose generation is not the present one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from psycopg.rows import tuple_row
from psycopg.types.json import Json, Jsonb

from control_api.store.db import Connection
from control_api.store.runs import OPEN
from schemas.errors import NotFound
from schemas.run import REPLAY_LANE


@dataclass(frozen=True)
class PlannedSplit:
    """A part of a source, read as a whole by one lane. `spec` is the connector's own."""

    split: str  # table/source/name
    lane: int
    table: str
    source: str
    ordinal: int
    spec: dict[str, Any]


@dataclass(frozen=True)
class Lane:
    run: str
    lane: int
    generation: int
    checkpoint: dict[str, Any] | None
    done: bool


def plan(conn: Connection, run: str, splits: Sequence[PlannedSplit], lanes: int, partitions: int) -> bool:
    """Writes the plan of a run, once: False if another has planned it already.

    The replay lane is added as done, so that nobody claims it before a replay opens it again.
    """
    planned = conn.execute(
        "UPDATE metal.runs SET partitions = %s, lanes = %s, started_at = clock_timestamp()"
        " WHERE run = %s AND partitions IS NULL",
        (partitions, lanes, run),
    )
    if planned.rowcount == 0:
        if conn.execute("SELECT 1 FROM metal.runs WHERE run = %s", (run,)).fetchone() is None:
            raise NotFound(f"there is no run {run!r}")
        return False
    conn.execute(
        "INSERT INTO metal.lanes (run, lane, done) SELECT %s, n, n = %s FROM generate_series(%s::int, %s::int) n",
        (run, REPLAY_LANE, REPLAY_LANE, lanes - 1),
    )
    add_splits(conn, run, splits)
    return True


def add_splits(conn: Connection, run: str, splits: Sequence[PlannedSplit]) -> int:
    """Adds those not known yet (files that appeared since); says how many were."""
    fields: list[list[Any]] = [
        [s.split for s in splits],
        [s.lane for s in splits],
        [s.table for s in splits],
        [s.source for s in splits],
        [s.ordinal for s in splits],
        [orjson.dumps(s.spec).decode() for s in splits],
    ]
    added = conn.execute(
        "INSERT INTO metal.splits (run, split, lane, tab, source, ordinal, spec)"
        " SELECT %s, * FROM unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::int[], %s::json[])"
        " ON CONFLICT (run, split) DO NOTHING",
        (run, *fields),
    )
    return added.rowcount


def splits_of(conn: Connection, run: str, lane: int) -> list[PlannedSplit]:
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT split, lane, tab, source, ordinal, spec FROM metal.splits"
            " WHERE run = %s AND lane = %s ORDER BY ordinal, split",
            (run, lane),
        ).fetchall()
    return [PlannedSplit(*row) for row in rows]


def claim(conn: Connection, owner: str, lease: float, limit: int, runs: Sequence[str] | None = None) -> list[Lane]:
    """Takes up to `limit` lanes that nobody holds, for `lease` seconds.

    A run that is paused, failed, stopped or ended gives no lane.
    """
    statement = f"""
    WITH free AS (
        SELECT l.run, l.lane FROM metal.lanes l JOIN metal.runs r USING (run)
        WHERE NOT l.done AND l.lease_until <= clock_timestamp() AND {OPEN} AND r.state <> 'paused'
          AND r.partitions IS NOT NULL AND (%(runs)s::text[] IS NULL OR l.run = ANY(%(runs)s))
        ORDER BY r.created_at, l.run, l.lane LIMIT %(limit)s
        FOR UPDATE OF l SKIP LOCKED
    )
    UPDATE metal.lanes l SET owner = %(owner)s, generation = l.generation + 1,
           lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
    FROM free WHERE l.run = free.run AND l.lane = free.lane
    RETURNING l.run, l.lane, l.generation, l.checkpoint, l.done
    """
    wanted = None if runs is None else list(runs)
    values = {"runs": wanted, "limit": limit, "owner": owner, "lease": lease}
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(statement.encode(), values).fetchall()
    return sorted((Lane(*row) for row in rows), key=lambda lane: (lane.run, lane.lane))


def held(conn: Connection, lane: Lane) -> Lane | None:
    """The lane as it stands now, with its last checkpoint; None if it has another owner by now."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "SELECT run, lane, generation, checkpoint, done FROM metal.lanes"
            " WHERE run = %s AND lane = %s AND generation = %s",
            (lane.run, lane.lane, lane.generation),
        ).fetchone()
    return None if row is None else Lane(*row)


def renew(
    conn: Connection, owner: str, lease: float, held: Sequence[tuple[str, int, int]]
) -> set[tuple[str, int, int]]:
    """Prolongs what the owner still holds and returns that; the rest belongs to somebody else by now."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "UPDATE metal.lanes l SET lease_until = clock_timestamp() + make_interval(secs => %s)"
            " FROM unnest(%s::text[], %s::int[], %s::int[]) AS h(run, lane, generation)"
            " WHERE l.run = h.run AND l.lane = h.lane AND l.generation = h.generation AND l.owner = %s"
            " RETURNING l.run, l.lane, l.generation",
            (lease, [h[0] for h in held], [h[1] for h in held], [h[2] for h in held], owner),
        ).fetchall()
    return {(run, lane, generation) for run, lane, generation in rows}


def checkpoint(
    conn: Connection,
    run: str,
    lane: int,
    generation: int,
    checkpoint: dict[str, Any],
    read: dict[str, Any],
    done: bool,
) -> bool:
    """Notes how far the lane is. False if the lane has another owner by now; then nothing is written."""
    written = conn.execute(
        "UPDATE metal.lanes SET checkpoint = %s, read = %s, done = %s WHERE run = %s AND lane = %s AND generation = %s",
        (Json(checkpoint), Jsonb(read), done, run, lane, generation),
    )
    return written.rowcount == 1


def closed(conn: Connection, run: str) -> int:
    """The last epoch that all of the run's producers have ended in the review store; -1 before the first."""
    found = conn.execute("SELECT min(closed) FROM metal.watermarks WHERE run = %s", (run,)).fetchone()
    return -1 if found is None or found[0] is None else int(found[0])


def finishing(conn: Connection, run: str) -> bool:
    """Whether the run's lanes are to end it."""
    found = conn.execute("SELECT finishing FROM metal.runs WHERE run = %s", (run,)).fetchone()
    return bool(found and found[0])


def release(conn: Connection, owner: str) -> int:
    """Gives back everything that the owner holds, so that others need not wait for its leases to run out."""
    given = conn.execute(
        "UPDATE metal.lanes SET owner = NULL, lease_until = '-infinity' WHERE owner = %s AND NOT done",
        (owner,),
    )
    return given.rowcount


def reopen(conn: Connection, run: str, lane: int = REPLAY_LANE) -> None:
    """Opens a lane that was done, and fences its owner: its `done` would not know of what is new."""
    opened = conn.execute(
        "UPDATE metal.lanes SET done = false, owner = NULL, generation = generation + 1,"
        " lease_until = '-infinity' WHERE run = %s AND lane = %s",
        (run, lane),
    )
    if opened.rowcount == 0:
        raise NotFound(f"run {run!r} has no lane {lane}")
