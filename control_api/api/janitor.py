"""Clears up behind runs: ends those whose retention is over, scrubs destroyed keys, trims the topics."""

from __future__ import annotations

import os
import time
from typing import Any, Final

import structlog

from control_api.actions import transitions
from control_api.api.changelogs import Changelogs
from control_api.api.leader import Leader
from control_api.api.metrics import Metrics
from control_api.api.trim import trim
from control_api.store import control, idempotency, retention
from control_api.store.db import Connection
from schemas.errors import InvalidInput, Mistake

log = structlog.get_logger()

LOCK: Final = 0x6D65_0011
EVERY: Final = 10.0
BUSY: Final = 2.0  # between trims while much goes through: what is deleted soon is memory and disk for what comes next
HOURS: Final = 24.0


def retention_hours() -> float:
    """METAL_RETENTION: for how many hours prepared rows wait for somebody to do something with them."""
    text = os.environ.get("METAL_RETENTION") or str(HOURS)
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < 1_000_000:
        right = "a number of hours above 0, such as 24"
        raise InvalidInput([Mistake("environment", 1, "METAL_RETENTION", f"{text!r} is not that", right)])
    return hours


class Janitor(Leader):
    def __init__(
        self, url: str, kafka: dict[str, Any], metrics: Metrics, hours: float = HOURS, every: float = EVERY
    ) -> None:
        super().__init__("janitor", url, LOCK)
        self._kafka = kafka
        self._metrics = metrics
        self._hours = hours
        self._every = every
        self._scrubbed = -1
        self._changelogs = Changelogs()

    def work(self, conn: Connection) -> None:
        due = 0.0
        while not self.stopping():
            if time.monotonic() >= due:
                self.sweep(conn)
                due = time.monotonic() + self._every
            elif retention.any_in_full(conn):
                self._trim(conn)
            self.stopping(min(self._every, BUSY))

    def sweep(self, conn: Connection) -> None:
        """Everything once; `conn` is in autocommit mode."""
        for run in retention.overdue(conn, self._hours):
            with conn.transaction():
                self._expire(conn, run, f"nothing was done with it for {self._hours:g} hours")
        for run in retention.lapsed(conn):
            with conn.transaction():
                self._expire(conn, run, "its rows are not anonymized, and the time is over for which they were kept")
        self._scrub(conn)
        control.forget(conn)
        idempotency.forget(conn)
        self._trim(conn)

    def _trim(self, conn: Connection) -> None:
        started = time.monotonic()
        for topic, count in trim(conn, self._kafka, self._changelogs).items():
            self._metrics.trimmed.labels(topic).inc(count)
            log.info("trimmed", topic=topic, messages=count, seconds=round(time.monotonic() - started, 3))

    def _expire(self, conn: Connection, run: str, reason: str) -> None:
        if transitions.stop(conn, transitions.ENGINE, run, reason, drop_prepared=True):
            self._metrics.expired.inc()
            log.info("retention is over", run=run, reason=reason)

    def _scrub(self, conn: Connection) -> None:
        ended = retention.ended(conn)
        if ended != self._scrubbed and retention.scrub_keys(conn):
            self._scrubbed = ended
