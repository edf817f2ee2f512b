"""What became of the records of a run, table by table: the producers' counts, added up.

While a run goes on, what is prepared is what the producers say; once it is over, what PostgreSQL said when it took the
rows is added up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg.rows import tuple_row

from control_api.store import outbox
from control_api.store.db import Connection
from control_api.store.runs import Run


@dataclass
class Totals:
    """What the producers of a run say of one table, added up."""

    read: int = 0
    prepared: int = 0
    merged: int = 0
    rejected: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    withheld: dict[str, int] = field(default_factory=dict)  # groups of an aggregated table, by reason
    presence: list[float] | None = None  # the least and the most share of a published group's people in a population

    def add(self, counts: dict[str, Any]) -> None:
        self.read += counts.get("read", 0)
        self.merged += counts.get("merged", 0)
        self.rejected += counts.get("rejected", 0)
        self.prepared += counts.get("prepared", 0)
        for rule, n in counts.get("dropped", {}).items():
            self.dropped[rule] = self.dropped.get(rule, 0) + n
        for reason, n in counts.get("withheld", {}).items():
            self.withheld[reason] = self.withheld.get(reason, 0) + n
        self.presence = counts.get("presence", self.presence)  # one producer has all groups of a table


def totals_of(conn: Connection, run: str) -> dict[str, Totals]:
    totals: dict[str, Totals] = {}
    with conn.cursor(row_factory=tuple_row) as cursor:
        cursor.execute("SELECT tab, counts FROM metal.counts WHERE run = %s ORDER BY producer", (run,))
        for table, counts in cursor:
            totals.setdefault(table, Totals()).add(counts)
    return totals


def report(conn: Connection, run: Run) -> dict[str, Any]:
    """A run as the contract shows it."""
    over = run.prepared_at or run.ended_at
    seconds = ((over or datetime.now(UTC)) - run.created_at).total_seconds()
    return {
        "run": run.run,
        "task": run.task,
        "version": run.version,
        "mode": run.mode,
        "state": run.state,
        "seconds": round(seconds, 3),
        "tables": _tables(conn, run),
        "reason": run.reason,
        "notes": run.notes,
        "created_at": run.created_at.isoformat(),
        "first_row_at": _iso(run.first_row_at),
        "prepared_at": _iso(run.prepared_at),
        "ended_at": _iso(run.ended_at),
        "without_anonymization": None if run.waiver is None else run.waiver.told(),
    }


def progress(conn: Connection, run: Run) -> dict[str, int]:
    """Records read at the sources so far, by table; ahead of the totals, which come at the close of an epoch."""
    found: dict[str, int] = {}
    with conn.cursor(row_factory=tuple_row) as cursor:
        cursor.execute("SELECT read FROM metal.lanes WHERE run = %s", (run.run,))
        for (read,) in cursor:
            for table, counts in read.items():
                found[table] = found.get(table, 0) + counts.get("read", 0)
    return found


def _tables(conn: Connection, run: Run) -> dict[str, dict[str, Any]]:
    totals = totals_of(conn, run.run)
    over = run.prepared_at is not None or run.ended_at is not None
    prepared = outbox.prepared(conn, run.run) if over else {}
    found = {}
    for table in dict.fromkeys([*run.spec.tables, *outbox.plans_of(conn, run.run)]):
        total = totals.get(table, Totals())
        if over:
            total.prepared = prepared.get(table, 0)
        found[table] = asdict(total)
        for name in ("withheld", "presence"):  # which certificates tell
            del found[table][name]
    return found


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
