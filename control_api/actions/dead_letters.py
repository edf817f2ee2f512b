"""Records that could not be processed: looked at, corrected and sent again, or discarded.

What always holds: what a person does to letters is one transaction with its audit event, and only open letters change
state. A raw record is shown to nobody but the caller of `reveal`, which leaves an audit event; neither record nor
correction stands in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import orjson

from control_api.settle import settle
from control_api.store import audit, control, lanes
from control_api.store.db import Connection
from control_api.store.keys import get_key
from schemas.errors import Conflict, NotFound
from schemas.memo import MEMO
from schemas.sealing import seal, unseal

State = Literal["open", "replayed", "discarded"]
STATES: Final[tuple[State, ...]] = ("open", "replayed", "discarded")
REVIEW: Final = "review"  # the stage of rows that the review store refused: they are anonymized, if their run does that
_TOGETHER: Final = 1_000  # records that are open at one time
RAW: Final = "_raw"  # the one field of a record that could not even be read apart


@dataclass(frozen=True)
class Letter:
    id: str
    run: str
    table: str
    stage: str
    rule: str
    column: str | None
    reason: str
    position: dict[str, Any]
    state: State
    at: datetime


@dataclass(frozen=True)
class Filter:
    """Which letters; what is None is not asked for."""

    table: str | None = None
    rule: str | None = None
    state: State | None = None


_COLUMNS: Final = "id, run, tab, stage, rule, col, reason, position, state, at"
_WHERE: Final = """
WHERE run = %(run)s AND (%(table)s::text IS NULL OR tab = %(table)s)
  AND (%(rule)s::text IS NULL OR rule = %(rule)s) AND (%(state)s::text IS NULL OR state = %(state)s)
"""


def list_letters(
    conn: Connection, run: str, which: Filter = Filter(), limit: int = 50, cursor: str | None = None
) -> list[Letter]:
    """In the order of their ids. `cursor` is the last id of the page before."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM metal.dead_letters {_WHERE} AND (%(cursor)s::text IS NULL OR id > %(cursor)s)"
        " ORDER BY id LIMIT %(limit)s".encode(),
        _asked(run, which) | {"cursor": cursor, "limit": limit},
    ).fetchall()
    if not rows and cursor is None:
        _check_run(conn, run)
    return [Letter(*row) for row in rows]


def count_letters(conn: Connection, run: str) -> dict[State, int]:
    found = conn.execute(
        "SELECT state, count(*) FROM metal.dead_letters WHERE run = %s GROUP BY state", (run,)
    ).fetchall()
    return {state: dict(found).get(state, 0) for state in STATES}


def get_letter(conn: Connection, run: str, letter: str) -> Letter:
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM metal.dead_letters WHERE run = %s AND id = %s".encode(), (run, letter)
    ).fetchone()
    if row is None:
        raise NotFound(f"run {run} has no dead letter {letter}")
    return Letter(*row)


def reveal(conn: Connection, master: bytes, actor: str, run: str, letter: str) -> dict[str, Any]:
    """The raw record of a letter. That it was looked at stands in the audit log."""
    found = get_letter(conn, run, letter)
    record = _opened(conn, get_key(conn, master, run), [found.id])[found.id]
    audit.record(conn, actor, "deadletter.revealed", f"{run}/{letter}", {"table": found.table})
    return record


def replay(
    conn: Connection,
    master: bytes,
    actor: str,
    run: str,
    letters: Sequence[str] | None,
    changes: Mapping[str, Any] | None = None,
    records: Mapping[str, dict[str, Any]] | None = None,
    which: Filter = Filter(),
) -> int:
    """Sends records again, through every stage: those of `letters`, or every open one that `which` finds.

    `changes` are set in each of them; `records` holds whole corrected records by letter. Says how many.
    """
    _check_open(conn, run)
    key = get_key(conn, master, run)
    chosen = _chosen(conn, run, letters, which)
    _check_source(chosen)
    for start in range(0, len(chosen), _TOGETHER):
        _send_again(conn, key, run, chosen[start : start + _TOGETHER], changes or {}, records or {})
    _close(conn, run, chosen, "replayed")
    if chosen:
        # Nothing of the run is final until what was sent again has come out of every producer.
        conn.execute("UPDATE metal.watermarks SET final = false WHERE run = %s", (run,))
        lanes.reopen(conn, run)
        control.enqueue(conn, run, "replay")
        detail = {"letters": len(chosen), "columns": sorted(changes or {}), "corrected": len(records or {})}
        audit.record(conn, actor, "deadletter.replayed", run, detail)
    return len(chosen)


def discard(conn: Connection, actor: str, run: str, letters: Sequence[str] | None, which: Filter = Filter()) -> int:
    """Closes letters for good. A prepared run without an open one ends. Says how many."""
    _check_open(conn, run)
    chosen = _chosen(conn, run, letters, which)
    _close(conn, run, chosen, "discarded")
    if chosen:
        audit.record(conn, actor, "deadletter.discarded", run, {"letters": len(chosen)})
        settle(conn, run)
    return len(chosen)


def _asked(run: str, which: Filter) -> dict[str, Any]:
    return {"run": run, "table": which.table, "rule": which.rule, "state": which.state}


def _check_run(conn: Connection, run: str) -> None:
    if conn.execute("SELECT 1 FROM metal.runs WHERE run = %s", (run,)).fetchone() is None:
        raise NotFound(f"there is no run {run!r}")


def _check_open(conn: Connection, run: str) -> None:
    """Locks the run: it must not end while its letters change."""
    row = conn.execute(
        "SELECT state, ended_at IS NOT NULL FROM metal.runs WHERE run = %s FOR NO KEY UPDATE", (run,)
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no run {run!r}")
    if row[1] or row[0] in ("failed", "stopped"):
        raise Conflict(f"run {run} is over; its records can be read no more. Start a new run instead")


def _chosen(conn: Connection, run: str, letters: Sequence[str] | None, which: Filter) -> list[Letter]:
    """Open letters, locked. Named ones must all be there and open."""
    if letters is None:
        which = Filter(which.table, which.rule, "open")
        rows = conn.execute(
            f"SELECT {_COLUMNS} FROM metal.dead_letters {_WHERE} ORDER BY id FOR UPDATE".encode(), _asked(run, which)
        ).fetchall()
        return [Letter(*row) for row in rows]
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM metal.dead_letters WHERE run = %s AND id = ANY(%s) ORDER BY id FOR UPDATE".encode(),
        (run, list(letters)),
    ).fetchall()
    found = [Letter(*row) for row in rows]
    missing = set(letters) - {letter.id for letter in found}
    if missing:
        raise NotFound(f"run {run} has no dead letter {min(missing)}")
    for letter in found:
        if letter.state != "open":
            raise Conflict(f"dead letter {letter.id} is {letter.state} already")
    return found


def _check_source(chosen: Sequence[Letter]) -> None:
    """A record goes in again where it came from; what was computed, or the review store refused, has no such place."""
    for letter in chosen:
        if letter.stage == REVIEW or not letter.position.get("source"):
            raise Conflict(
                f"dead letter {letter.id} holds a row as it was computed or as it was to be stored, not a record of a "
                "source; it cannot be sent through the stages again. Discard it, or correct its source and start a new "
                "run"
            )


def _opened(conn: Connection, key: bytes, letters: Sequence[str]) -> dict[str, dict[str, Any]]:
    rows = conn.execute("SELECT id, sealed FROM metal.dead_letters WHERE id = ANY(%s)", (list(letters),))
    opened = {letter: orjson.loads(unseal(key, sealed, letter)) for letter, sealed in rows if sealed}
    return {letter: {name: record[name] for name in record if name != MEMO} for letter, record in opened.items()}


def _send_again(
    conn: Connection,
    key: bytes,
    run: str,
    chosen: Sequence[Letter],
    changes: Mapping[str, Any],
    records: Mapping[str, dict[str, Any]],
) -> None:
    known = _opened(conn, key, [letter.id for letter in chosen if letter.id not in records])
    rows = []
    for letter in chosen:
        record = records.get(letter.id) or known[letter.id]
        if RAW in record:
            raise Conflict(
                f"dead letter {letter.id} could not be read as a record, so no column of it can be set; "
                "send the whole record again with --file"
            )
        sealed = seal(key, orjson.dumps({**record, **changes}), letter.id)
        rows.append((run, letter.id, letter.table, letter.position["source"], sealed))
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metal.replays (run, letter, tab, source, sealed) VALUES (%s, %s, %s, %s, %s)", rows
        )


def _close(conn: Connection, run: str, chosen: Sequence[Letter], state: State) -> None:
    conn.execute(
        "UPDATE metal.dead_letters SET state = %s WHERE run = %s AND id = ANY(%s)",
        (state, run, [letter.id for letter in chosen]),
    )
