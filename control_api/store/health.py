"""What tells whether the control store's surroundings keep up with it."""

from __future__ import annotations

from typing import Final

from psycopg.rows import tuple_row

from control_api.store.db import Connection

STUCK_SECONDS: Final = 15.0


def relay_behind(conn: Connection) -> float:
    """For how many seconds the oldest event has been waiting to be sent; 0 if none is."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "SELECT greatest(0, extract(epoch FROM clock_timestamp()) - least("
            " (SELECT min((event->>'at')::double precision) FROM metal.control WHERE NOT relayed),"
            " (SELECT extract(epoch FROM min(at)) FROM metal.audit WHERE NOT relayed)))"
        ).fetchone()
    return float(row[0]) if row and row[0] is not None else 0.0


def waiting(conn: Connection) -> dict[str, int]:
    """How many events of each kind are not sent yet."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "SELECT (SELECT count(*) FROM metal.control WHERE NOT relayed),"
            " (SELECT count(*) FROM metal.audit WHERE NOT relayed)"
        ).fetchone()
    return {"metal.control": int(row[0]), "metal.audit": int(row[1])} if row else {}


def open_by_state(conn: Connection) -> dict[str, int]:
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute("SELECT state, count(*) FROM metal.runs WHERE ended_at IS NULL GROUP BY state").fetchall()
    return {state: int(count) for state, count in rows}
