"""The review writer's commits don't wait for the disk: if the database forgets them, their offsets are forgotten too.

Whoever does something outside the database because of what it read there, and cannot undo it (deleting messages that
are stored), first makes sure that the database will not forget.
"""

from __future__ import annotations

from control_api.store.db import Connection


def make_durable(conn: Connection) -> None:
    """On return, all that was committed before the call is on disk. The connection must be in autocommit mode."""
    with conn.transaction():
        conn.execute("SET LOCAL synchronous_commit = on")
        # A transaction that writes something, however small, waits for all that was written before it.
        conn.execute("SELECT pg_logical_emit_message(true, 'metal', '')")
