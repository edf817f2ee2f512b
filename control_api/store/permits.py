"""Permits: secrets that carry a permission. The store keeps a hash of each, so that nobody can take one from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast

from psycopg.rows import tuple_row

from control_api.store.db import Connection
from schemas.permissions import Permission

_COLUMNS: Final = "holder, permission, created_at, created_by, until, revoked_at, until > clock_timestamp()"


@dataclass(frozen=True)
class Permit:
    holder: str
    permission: Permission
    created_at: datetime
    created_by: str
    until: datetime
    revoked_at: datetime | None
    young: bool  # its time is not over

    @property
    def counts(self) -> bool:
        return self.young and self.revoked_at is None


def add(conn: Connection, secret: str, holder: str, permission: Permission, actor: str, days: float) -> datetime:
    """Until when it counts."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "INSERT INTO metal.permits (digest, holder, permission, created_by, until)"
            " VALUES (%s, %s, %s, %s, clock_timestamp() + %s) RETURNING until",
            (_digest(secret), holder, permission, actor, timedelta(days=days)),
        ).fetchone()
    assert row is not None  # noqa: S101  # it was inserted
    return cast(datetime, row[0])


def find(conn: Connection, secret: str) -> Permit | None:
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            f"SELECT {_COLUMNS} FROM metal.permits WHERE digest = %s".encode(), (_digest(secret),)
        ).fetchone()
    return None if row is None else Permit(*row)


def list_permits(conn: Connection) -> list[Permit]:
    """The newest first, those that count no more included."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(f"SELECT {_COLUMNS} FROM metal.permits ORDER BY created_at DESC".encode()).fetchall()
    return [Permit(*row) for row in rows]


def revoke(conn: Connection, holder: str) -> int:
    """How many permits of the holder counted until now."""
    gone = conn.execute(
        "UPDATE metal.permits SET revoked_at = clock_timestamp()"
        " WHERE holder = %s AND revoked_at IS NULL AND until > clock_timestamp()",
        (holder,),
    )
    return gone.rowcount


def _digest(secret: str) -> str:
    """The secret is 256 random bits: a plain hash of it can't be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()
