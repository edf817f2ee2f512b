"""From the request that starts a small task, on a warm stack, to its first prepared record in the review store."""

from __future__ import annotations

import time
from typing import Any, Final

from psycopg import sql

from benchmarks import data
from benchmarks.comparing import warm
from benchmarks.engine import WITHIN, until
from benchmarks.figures import Figure, Outcome, Target
from benchmarks.session import Session
from control_api.store.outbox import table_of

SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"records": 100, "starts": 10},
    "small": {"records": 100, "starts": 5},
    "tiny": {"records": 100, "starts": 2},
}


def measure(session: Session, records: int, starts: int) -> Outcome:
    """`starts` times, however many runs are asked for."""
    warm(session)
    task = session.engine.register(data.people_task(session.data, records))
    found = [_start(session, task) for _ in range(starts)]
    figure = Figure("task start to first prepared record", "s", found, Target("<=", 1.5))
    return Outcome({"first_record_seconds": figure})


def _start(session: Session, task: dict[str, Any]) -> float:
    engine = session.engine
    started = time.perf_counter()
    run = engine.start(task)
    text = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table_of(run, "person"))
    until(lambda: engine.query(text)[0][0], WITHIN, "a record is prepared", every=0.005)
    took = time.perf_counter() - started
    until(lambda: engine.state(run) != "running", WITHIN, f"run {run} is over")
    engine.stop(run)
    return took
