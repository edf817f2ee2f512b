"""How the state of a run changes. Each function works in the caller's transaction: state, audit event and control
event stand or fall together.

A run is locked before anything else of it is changed, and the audit log last. Asking for a state that the run is in
already changes nothing. A run that fails or is stopped ends at once: its key is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from control_api.store import audit, control
from control_api.store.db import Connection
from control_api.store.keys import destroy_key
from control_api.store.outbox import drop_tables, plans_of
from schemas.errors import Conflict, NotFound
from schemas.run import FOLLOWS, State

ENGINE: Final = "metal"  # the actor of what no person asked for
DELETED: Final = "the prepared rows were deleted"


@dataclass(frozen=True)
class Locked:
    state: State
    ended: bool


def lock(conn: Connection, run: str) -> Locked:
    """Until the transaction ends nobody else changes the state of the run."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "SELECT state, ended_at IS NOT NULL FROM metal.runs WHERE run = %s FOR NO KEY UPDATE", (run,)
        ).fetchone()
    if row is None:
        raise NotFound(f"there is no run {run!r}")
    return Locked(*row)


def pause(conn: Connection, actor: str, run: str, reason: str | None = None) -> bool:
    if not _move(conn, run, "paused"):
        return False
    control.enqueue(conn, run, "pause", reason)
    audit.record(conn, actor, "run.paused", run, _because(reason))
    return True


def resume(conn: Connection, actor: str, run: str, reason: str | None = None) -> bool:
    before = lock(conn, run)
    if before.state == "running":
        return False
    if before.state != "paused":
        raise Conflict(f"run {run!r} is {before.state}; only a paused run can be resumed")
    _move(conn, run, "running")
    control.enqueue(conn, run, "resume", reason)
    audit.record(conn, actor, "run.resumed", run, _because(reason))
    return True


def stop(conn: Connection, actor: str, run: str, reason: str | None = None, drop_prepared: bool = False) -> bool:
    """Stops a run and ends it. `drop_prepared` deletes its prepared rows, also of a run that has ended already."""
    if drop_prepared:
        drop_tables(conn, run)  # before the run is locked, as the review writer takes these locks
    before = lock(conn, run)
    changed = False
    if before.state not in ("stopped", "failed") and not (before.ended and not drop_prepared):
        _move(conn, run, "stopped", reason)
        control.enqueue(conn, run, "stop", reason)
        audit.record(conn, actor, "run.stopped", run, _because(reason) | {"drop_prepared": drop_prepared})
        end_run(conn, actor, run)
        changed = True
    elif before.state != "stopped" and not drop_prepared:
        raise Conflict(f"run {run!r} is {before.state} and has ended; only its prepared rows can be dropped")
    if drop_prepared:
        changed = _note_deleted(conn, actor, run, reason) or changed
    return changed


def finish(conn: Connection, actor: str, run: str, reason: str | None = None) -> bool:
    """Has a continuous run read what is there and come to its end; it is prepared when that is through."""
    before = lock(conn, run)
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("SELECT mode, finishing FROM metal.runs WHERE run = %s", (run,)).fetchone()
    mode, finishing = row or ("", False)
    if mode != "continuous":
        raise Conflict(f"run {run!r} is of a snapshot, which ends by itself; only a continuous run is finished")
    if finishing:
        return False
    if before.state != "running":
        raise Conflict(f"run {run!r} is {before.state}; only a running one can be finished")
    conn.execute("UPDATE metal.runs SET finishing = true WHERE run = %s", (run,))
    audit.record(conn, actor, "run.finishing", run, _because(reason))
    return True


def fail_run(conn: Connection, actor: str, run: str, reason: str) -> bool:
    """Halts a run and ends it. False if it is over already. The reason is shown: no raw value may stand in it."""
    before = lock(conn, run)
    if before.ended or "failed" not in FOLLOWS[before.state]:
        return False
    _move(conn, run, "failed", reason)
    control.enqueue(conn, run, "fail", reason)
    audit.record(conn, actor, "run.failed", run, {"reason": reason})
    end_run(conn, actor, run)
    return True


def mark_first_row(conn: Connection, run: str) -> bool:
    """Notes when the first row of a run stood in the review store."""
    done = conn.execute(
        "UPDATE metal.runs SET first_row_at = clock_timestamp() WHERE run = %s AND first_row_at IS NULL", (run,)
    )
    return done.rowcount == 1


def mark_prepared(conn: Connection, actor: str, run: str) -> bool:
    """Everything of a run stands in the review store. It keeps its key until `end_run`."""
    if not _move(conn, run, "prepared"):
        return False
    conn.execute("UPDATE metal.runs SET prepared_at = clock_timestamp() WHERE run = %s", (run,))
    audit.record(conn, actor, "run.prepared", run, {})
    return True


def end_run(conn: Connection, actor: str, run: str) -> bool:
    """Destroys key and secrets of a run that is over: from here on nothing raw of it can be read. False if ended."""
    before = lock(conn, run)
    if before.ended:
        return False
    if before.state in ("running", "paused"):
        raise Conflict(f"run {run!r} is {before.state}; it ends when it is prepared, failed or stopped")
    conn.execute("UPDATE metal.runs SET ended_at = clock_timestamp() WHERE run = %s", (run,))
    destroy_key(conn, run)
    conn.execute("DELETE FROM metal.replays WHERE run = %s", (run,))
    conn.execute("UPDATE metal.dead_letters SET sealed = '' WHERE run = %s", (run,))
    conn.execute("UPDATE metal.lanes SET owner = NULL, lease_until = '-infinity' WHERE run = %s", (run,))
    control.enqueue(conn, run, "end")
    audit.record(conn, actor, "run.ended", run, {"state": before.state})
    return True


def delete_prepared(conn: Connection, actor: str, run: str) -> bool:
    """Deletes the prepared rows of a run that is over. False if there are none (any more)."""
    if not plans_of(conn, run):
        return False
    drop_tables(conn, run)
    before = lock(conn, run)
    if before.state in ("running", "paused"):
        raise Conflict(f"run {run!r} is {before.state}; stop it to delete its prepared rows")
    return _note_deleted(conn, actor, run)


def _note_deleted(conn: Connection, actor: str, run: str, reason: str | None = None) -> bool:
    noted = conn.execute(
        "UPDATE metal.runs SET notes = notes || %(note)s WHERE run = %(run)s AND NOT notes @> %(note)s",
        {"run": run, "note": Jsonb([DELETED])},
    )
    if noted.rowcount:
        audit.record(conn, actor, "run.prepared_deleted", run, _because(reason))
    return noted.rowcount == 1


def _move(conn: Connection, run: str, to: State, reason: str | None = None) -> bool:
    before = lock(conn, run)
    if before.state == to:
        return False
    if to not in FOLLOWS[before.state]:
        raise Conflict(f"run {run!r} is {before.state}; it can't become {to}")
    conn.execute("UPDATE metal.runs SET state = %s, reason = coalesce(%s, reason) WHERE run = %s", (to, reason, run))
    return True


def _because(reason: str | None) -> dict[str, Any]:
    return {} if reason is None else {"reason": reason}
