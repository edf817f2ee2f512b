"""What is looked after once a second, beside the flow: reject limits, runs that wait for dead letters, indexes.

The limit compares letters with what had been read some time after they were counted, because what a source has read
reaches the store a little later than its rejects: a run must not halt for a count that is merely late.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import psycopg
import structlog

from connectors.review.session import open_session
from connectors.review.writer import Health
from control_api.settle import fail_open_run, over_limit, settle
from control_api.store.outbox import index_tables, schema_of

_log = structlog.get_logger("metal.review")

_EVERY: Final = 1.0
_LATE: Final = 2.0  # seconds within which a source's count of what it read is surely written
_LETTERS_WAIT: Final = 120.0  # seconds in which dead letters that were counted have to arrive


class Keeper(threading.Thread):
    def __init__(self, url: str, health: Health) -> None:
        super().__init__(name="review-keeper", daemon=True)
        self._url = url
        self._health = health
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._rejected: set[str] = set()  # runs with new letters
        self._counted: dict[str, tuple[float, int]] = {}  # when, and how many letters there were
        self._waiting: dict[str, float] = {}
        self._conn: psycopg.Connection[Any] | None = None

    def stop(self) -> None:
        self._stopping.set()

    def rejected(self, runs: set[str]) -> None:
        """Says that letters of these runs were stored."""
        with self._lock:
            self._rejected |= runs

    def run(self) -> None:
        while not self._stopping.wait(_EVERY):
            try:
                self._round()
                self._health.set("postgres", None)
            except psycopg.Error as error:
                self._health.set("postgres", type(error).__name__)
                _log.warning("database_away", error=type(error).__name__)
                self._close()
        self._close()

    def _round(self) -> None:
        if self._conn is None:
            self._conn = open_session(self._url)
            self.rejected({run for (run,) in self._conn.execute(_WITH_LETTERS)})
        self._settle_all(self._conn)
        self._check_limits(self._conn)
        self._index_all(self._conn)

    def _settle_all(self, conn: psycopg.Connection[Any]) -> None:
        now = time.monotonic()
        waiting: dict[str, float] = {}
        for run, state in conn.execute(_ALL_FINAL).fetchall():
            with conn.transaction():
                conn.execute("SET LOCAL synchronous_commit = on")
                if settle(conn, run) != "waiting" or state != "running":
                    continue
                waiting[run] = self._waiting.get(run, now)
                if now - waiting[run] > _LETTERS_WAIT:
                    fail_open_run(conn, run, "dead letters that its stages counted have not arrived")
        self._waiting = waiting

    def _check_limits(self, conn: psycopg.Connection[Any]) -> None:
        now = time.monotonic()
        for run, (at, letters) in list(self._counted.items()):
            if now - at >= _LATE:
                del self._counted[run]
                self._check(conn, run, letters)
        with self._lock:
            fresh, self._rejected = self._rejected - self._counted.keys(), self._rejected & self._counted.keys()
        for run, letters in conn.execute(_COUNT_LETTERS, (sorted(fresh),)).fetchall():
            self._counted[run] = (now, letters)

    def _check(self, conn: psycopg.Connection[Any], run: str, letters: int) -> None:
        row = conn.execute(_READ, (run,)).fetchone()
        if row is None:
            return
        spec, read = row
        reason = over_limit(spec, letters, int(read)) if read >= letters else None
        if reason:
            with conn.transaction():
                conn.execute("SET LOCAL synchronous_commit = on")
                fail_open_run(conn, run, reason)
            _log.warning("run_halted", run=run, reason=reason)

    def _index_all(self, conn: psycopg.Connection[Any]) -> None:
        for (run,) in conn.execute(_NOT_INDEXED).fetchall():
            with conn.transaction():
                held = conn.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", (schema_of(run),)).fetchone()
                if held and held[0]:
                    index_tables(conn, run)

    def _close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


_LIVE = "r.ended_at IS NULL AND r.state IN ('running', 'paused', 'prepared')"
_WITH_LETTERS = f"""
SELECT run FROM metal.runs r WHERE {_LIVE} AND EXISTS (SELECT FROM metal.dead_letters d WHERE d.run = r.run)
"""
# A prepared run too: what was corrected may have come out before its lane was noted as done, and nothing follows then.
_ALL_FINAL = """
SELECT run, state FROM metal.runs r
WHERE ended_at IS NULL AND EXISTS (SELECT FROM metal.watermarks w WHERE w.run = r.run)
  AND NOT EXISTS (SELECT FROM metal.watermarks w WHERE w.run = r.run AND NOT w.final)
  AND (state = 'running' OR state = 'prepared' AND NOT EXISTS (
    SELECT FROM metal.dead_letters d WHERE d.run = r.run AND d.state = 'open'))
"""
_COUNT_LETTERS = "SELECT run, count(*) FROM metal.dead_letters WHERE run = ANY(%s) GROUP BY run"
_READ = f"""
SELECT t.spec, (SELECT coalesce(sum((e.value->>'read')::bigint), 0)
                FROM metal.lanes l, jsonb_each(l.read) e WHERE l.run = r.run)
FROM metal.runs r JOIN metal.tasks t ON t.name = r.task AND t.version = r.version
WHERE r.run = %s AND {_LIVE}
"""
_NOT_INDEXED = """
SELECT DISTINCT o.run FROM metal.outbox_tables o JOIN metal.runs r USING (run)
WHERE r.state = 'prepared' AND r.mode = 'snapshot'
  AND to_regclass(format('%I.%I', 'outbox_' || o.run, o.tab)) IS NOT NULL
  AND to_regclass(format('%I.%I', 'outbox_' || o.run, '_' || o.tab || '_id')) IS NULL
"""
