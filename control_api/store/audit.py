"""The audit log: who did what to what, written in the transaction of its effect.

Each entry's hash covers the hash before it, so an entry that is edited, removed, inserted or moved breaks the
chain there; the head is kept apart, so a chain whose end was cut off does not match it. Entries carry no
record's values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from control_api.store.db import Connection
from control_api.store.delivery import BATCH, CHANNEL, Producer, deliver
from schemas.events import encode
from schemas.topics import AUDIT

START: Final = "0" * 64  # what the first entry follows
_LOCK: Final = 0x6D65_0002
_COLUMNS: Final = "seq, at, actor, action, subject, detail, previous, hash"


@dataclass(frozen=True)
class Entry:
    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    previous: str
    hash: str

    def facts(self) -> dict[str, Any]:
        at = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        return {
            "seq": self.seq,
            "at": at,
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "detail": self.detail,
        }

    def expected(self) -> str:
        """The hash that this entry must have."""
        return hashlib.sha256((self.previous + canonical(self.facts())).encode()).hexdigest()

    def event(self) -> dict[str, Any]:
        facts = self.facts() | {"detail": canonical(self.detail)}
        return facts | {"previous": self.previous, "hash": self.hash}


@dataclass(frozen=True)
class Broken:
    """Where the chain breaks first, and how."""

    seq: int
    why: str


@dataclass(frozen=True)
class Head:
    """The last entry. Noted down elsewhere, it is a witness against a log that was rewritten as a whole."""

    seq: int
    hash: str


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def record(conn: Connection, actor: str, action: str, subject: str, detail: dict[str, Any]) -> None:
    """Appends an entry inside the caller's transaction.

    Appenders wait for one another until they commit: do it last, after taking the locks of what you change.
    """
    with conn.cursor(row_factory=tuple_row) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        last = head(conn)
        # the detail as the database gives it back: what is hashed now is what is read when it is checked
        row = cursor.execute("SELECT clock_timestamp(), %s::jsonb", (Jsonb(detail),)).fetchone()
        assert row is not None  # noqa: S101  # a SELECT without FROM has one row
        entry = Entry(last.seq + 1, row[0], actor, action, subject, row[1], last.hash, "")
        made = entry.expected()
        cursor.execute(
            f"INSERT INTO metal.audit ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (entry.seq, entry.at, actor, action, subject, Jsonb(row[1]), last.hash, made),
        )
        cursor.execute(
            "INSERT INTO metal.audit_head (seq, hash) VALUES (%s, %s)"
            " ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            (entry.seq, made),
        )
        cursor.execute("SELECT pg_notify(%s, '')", (CHANNEL,))


def head(conn: Connection) -> Head:
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("SELECT seq, hash FROM metal.audit_head").fetchone()
    return Head(*row) if row else Head(0, START)


def verify(conn: Connection, witness: Head | None = None) -> Broken | None:
    """The first place where the log is not what was written; None if there is none.

    `witness` is a head that was noted down earlier: that entry must still be there.
    """
    present = head(conn)  # before the entries: what is appended meanwhile only lengthens the chain
    before = Head(0, START)
    for entry in _entries(conn):
        broken = _check(entry, before, witness)
        if broken is not None:
            return broken
        before = Head(entry.seq, entry.hash)
        if entry.seq == present.seq and entry.hash != present.hash:
            return Broken(entry.seq, "it is not the entry that was appended last")
    for known, whose in ((present, "appended"), (witness, "noted down")):
        if known is not None and before.seq < known.seq:
            return Broken(before.seq + 1, f"it is missing: entries up to {known.seq} were {whose}")
    return None


def _check(entry: Entry, before: Head, witness: Head | None) -> Broken | None:
    if entry.seq != before.seq + 1:
        return Broken(before.seq + 1, "it is missing")
    if entry.previous != before.hash:
        return Broken(entry.seq, "it does not follow the entry before it")
    if entry.hash != entry.expected():
        return Broken(entry.seq, "its content is not what was written")
    if witness is not None and entry.seq == witness.seq and entry.hash != witness.hash:
        return Broken(entry.seq, "it is not the entry that was noted down")
    return None


def _entries(conn: Connection) -> Iterator[Entry]:
    with conn.cursor("audit_chain", row_factory=tuple_row) as cursor:
        cursor.execute(f"SELECT {_COLUMNS} FROM metal.audit ORDER BY seq")
        for row in cursor:
            yield Entry(*row)


def search(
    conn: Connection,
    *,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Entry]:
    """Entries that fit, the newest first; with `after`, those that follow it, the oldest first."""
    tests = {
        "actor = %s": actor,
        "action LIKE %s": None if action is None else f"{action}%",
        "subject = %s": subject,
        "at >= %s": since,
        "at < %s": until,
        "seq > %s": after,
        "seq < %s": before,
    }
    given = {test: value for test, value in tests.items() if value is not None}
    where = " AND ".join(given) or "true"
    order = "DESC" if after is None else "ASC"
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            f"SELECT {_COLUMNS} FROM metal.audit WHERE {where} ORDER BY seq {order} LIMIT %s".encode(),
            (*given.values(), limit),
        ).fetchall()
    return [Entry(*row) for row in rows]


def relay(conn: Connection, producer: Producer, limit: int = BATCH) -> int:
    """Sends what is not sent yet, in order; says how much that was."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            f"SELECT {_COLUMNS} FROM metal.audit WHERE NOT relayed ORDER BY seq LIMIT %s".encode(), (limit,)
        ).fetchall()
    if not rows:
        return 0
    entries = [Entry(*row) for row in rows]
    deliver(producer, AUDIT.name, [(entry.subject, encode("audit", entry.event())) for entry in entries])
    conn.execute("UPDATE metal.audit SET relayed = true WHERE seq = ANY(%s)", ([e.seq for e in entries],))
    return len(entries)
