"""Answers that were given to requests with an idempotency key, so that a repeated request changes nothing."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from control_api.store.db import Connection
from schemas.errors import Conflict

_LOCK: Final = 0x6D65_0004
_KEEP: Final = "1 day"


def digest(request: Any) -> str:
    return hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).hexdigest()


def recall(conn: Connection, actor: str, key: str, request: str) -> dict[str, Any] | None:
    """The answer given before, or None; in that case nobody else answers under this key until the transaction ends."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, f"{actor}\n{key}"))
        row = cursor.execute(
            "SELECT request, answer FROM metal.idempotency WHERE actor = %s AND key = %s", (actor, key)
        ).fetchone()
    if row is None:
        return None
    if row[0] != request:
        raise Conflict(f"the idempotency key {key!r} was used for another request; use a new one")
    answer: dict[str, Any] = row[1]
    return answer


def keep(conn: Connection, actor: str, key: str, request: str, answer: dict[str, Any]) -> None:
    conn.execute(
        "INSERT INTO metal.idempotency (actor, key, request, answer) VALUES (%s, %s, %s, %s)",
        (actor, key, request, Jsonb(answer)),
    )


def forget(conn: Connection) -> int:
    gone = conn.execute("DELETE FROM metal.idempotency WHERE at < clock_timestamp() - %s::interval", (_KEEP,))
    return gone.rowcount
