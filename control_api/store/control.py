"""What runs are told: written in the transaction of the change, relayed to `metal.control` after it."""

from __future__ import annotations

import time
from typing import Final, Literal

import orjson
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from control_api.store.db import Connection
from control_api.store.delivery import BATCH, CHANNEL, Producer, deliver
from schemas.errors import NotFound
from schemas.events import encode
from schemas.topics import CONTROL

Kind = Literal["start", "pause", "resume", "stop", "fail", "end", "replay"]
_KEEP: Final = "1 day"


def enqueue(conn: Connection, run: str, kind: Kind, reason: str | None = None) -> None:
    """Inside the caller's transaction: the workers hear of it if and only if that commits."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("SELECT task FROM metal.runs WHERE run = %s", (run,)).fetchone()
        if row is None:
            raise NotFound(f"there is no run {run!r}")
        event = {"run": run, "task": row[0], "kind": kind, "at": time.time(), "reason": reason}
        cursor.execute("INSERT INTO metal.control (run, event) VALUES (%s, %s)", (run, Jsonb(event, orjson.dumps)))
        cursor.execute("SELECT pg_notify(%s, '')", (CHANNEL,))


def relay(conn: Connection, producer: Producer, limit: int = BATCH) -> int:
    """Sends what is not sent yet, in order; says how much that was."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT seq, run, event FROM metal.control WHERE NOT relayed ORDER BY seq LIMIT %s", (limit,)
        ).fetchall()
    if not rows:
        return 0
    messages = [(run, encode("control", event | {"seq": seq})) for seq, run, event in rows]
    deliver(producer, CONTROL.name, messages)
    conn.execute("UPDATE metal.control SET relayed = true WHERE seq = ANY(%s)", ([row[0] for row in rows],))
    return len(rows)


def forget(conn: Connection) -> int:
    """Removes what was relayed long ago; the topic keeps the last event of each run."""
    gone = conn.execute(
        "DELETE FROM metal.control WHERE relayed AND (event->>'at')::double precision"
        " < extract(epoch FROM clock_timestamp() - %s::interval)",
        (_KEEP,),
    )
    return gone.rowcount
