"""What becomes of a run when nothing more is to come: prepared, failed because its counts don't add up, or ended.

Rows are counted as PostgreSQL says it takes them (`metal.stored`); only where counts differ are they looked at.
Called, with the run locked, by whatever may have been the last thing a run waited for: a producer's last batch, a
dead letter's arrival, a replay or a discard. Calling it once too often changes nothing.
"""

from __future__ import annotations

from typing import Any, Literal

from control_api.actions.transitions import ENGINE, end_run, fail_run, mark_prepared
from control_api.store.db import Connection
from control_api.store.outbox import count, plans_of, restate, stored
from control_api.store.totals import Totals, totals_of
from schemas.run import REPLAY_LANE
from schemas.task.model import Rejects

Outcome = Literal["open", "waiting", "prepared", "ended", "failed"]


def settle(conn: Connection, run: str) -> Outcome:
    """Moves a run on as far as it goes, in the caller's transaction. `waiting`: only dead letters are still to come."""
    found = conn.execute(
        "SELECT r.state, t.spec FROM metal.runs r JOIN metal.tasks t ON t.name = r.task AND t.version = r.version "
        "WHERE r.run = %s AND r.ended_at IS NULL FOR NO KEY UPDATE OF r",
        (run,),
    ).fetchone()
    if found is None or found[0] not in ("running", "prepared") or not _all_final(conn, run):
        return "open"
    state, spec = found
    totals = totals_of(conn, run)
    rejected = sum(t.rejected for t in totals.values())
    letters, still_open, replayed = _letters(conn, run)
    if letters < rejected:
        return "waiting"
    if state == "running":
        reason = _imbalance(conn, run, spec, totals, letters, replayed) or over_limit(
            spec, rejected, sum(t.read for t in totals.values())
        )
        if reason:
            fail_run(conn, ENGINE, run, reason)
            return "failed"
        mark_prepared(conn, ENGINE, run)
    if still_open or not _replays_through(conn, run):
        return "prepared"
    end_run(conn, ENGINE, run)
    return "ended"


def fail_open_run(conn: Connection, run: str, reason: str) -> bool:
    """Fails a run unless it is over, or gone, already; says whether it did."""
    there = conn.execute("SELECT 1 FROM metal.runs WHERE run = %s FOR NO KEY UPDATE", (run,)).fetchone()
    return there is not None and fail_run(conn, ENGINE, run, reason)


def over_limit(spec: dict[str, Any], rejected: int, read: int) -> str | None:
    """Why a run with so many rejects halts; None if it does not."""
    limit = Rejects.model_validate(spec.get("rejects") or {})
    if rejected <= limit.count or rejected <= limit.share * read:
        return None
    return (
        f"{rejected} of {read} records were rejected; the task halts beyond {limit.count} records "
        f"and {limit.share:.2%} of what was read. See: metal deadletter list RUN"
    )


def _all_final(conn: Connection, run: str) -> bool:
    row = conn.execute("SELECT bool_and(final) FROM metal.watermarks WHERE run = %s", (run,)).fetchone()
    return bool(row and row[0])


def _letters(conn: Connection, run: str) -> tuple[int, int, int]:
    """How many there are, are open, and have been replayed."""
    row = conn.execute(
        "SELECT count(*), count(*) FILTER (WHERE state = 'open'), count(*) FILTER (WHERE state = 'replayed') "
        "FROM metal.dead_letters WHERE run = %s",
        (run,),
    ).fetchone()
    return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)


def _replays_through(conn: Connection, run: str) -> bool:
    """Whether what was sent again has come out: its lane is done, and every producer has closed its epoch."""
    row = conn.execute(
        "SELECT bool_and(l.done) AND coalesce(max((l.checkpoint->>'epoch')::bigint), -1) "
        "    <= (SELECT min(closed) FROM metal.watermarks WHERE run = %(run)s) "
        "FROM metal.lanes l WHERE l.run = %(run)s AND l.lane = %(lane)s",
        {"run": run, "lane": REPLAY_LANE},
    ).fetchone()
    return row is None or row[0] is None or bool(row[0])


def _imbalance(
    conn: Connection, run: str, spec: dict[str, Any], totals: dict[str, Totals], letters: int, replayed: int
) -> str | None:
    """Invariant 1: read = prepared + merged away + rejected + dropped, with prepared and rejected counted here."""
    wrong = []
    rejected = sum(t.rejected for t in totals.values())
    if letters != rejected and not replayed:  # a correction may win over another record that fell, whose letter stays
        wrong.append(f"{rejected} records were rejected and {letters} dead letters are there")
    said = stored(conn, run)
    for table in plans_of(conn, run):
        if table not in totals:
            continue
        derived = any(step.get("aggregate") for step in spec["tables"].get(table, {}).get("transform", []))
        # what does not add up is told of the rows that are there
        if _difference(table, totals[table], said.get(table, 0), derived):
            there = count(conn, run, table)
            restate(conn, run, table, there)
            wrong += _difference(table, totals[table], there, derived)
    return f"the counts of the run do not add up: {'; '.join(wrong)}" if wrong else None


def _difference(table: str, said: Totals, rows: int, derived: bool) -> list[str]:
    if derived:
        return [] if rows == said.prepared else [f"{table}: {said.prepared} rows were prepared and {rows} are stored"]
    dropped = sum(said.dropped.values())
    if said.read == rows + said.merged + said.rejected + dropped:
        return []
    return [
        f"{table}: {said.read} read, but {rows} stored, {said.merged} merged away, "
        f"{said.rejected} rejected and {dropped} dropped"
    ]
