"""The engine and the bound in turns on the same data: as many rows must come out of both."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.data import people_task
from benchmarks.engine import WITHIN
from benchmarks.machine import CHECKOUT
from benchmarks.memory import mib
from benchmarks.session import Session
from schemas.errors import Fatal

WARM_RECORDS = 20_000


@dataclass
class Compared:
    """Seconds of every run, and what else was seen."""

    engine: list[float] = field(default_factory=list)
    bound: list[float] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def shares(self) -> list[float]:
        """How near the engine comes to the bound that was measured right after it."""
        return [bound / engine for engine, bound in zip(self.engine, self.bound, strict=True)]


def compare(session: Session, task: Path, records: int, bound: list[str]) -> Compared:
    found, seen = Compared(), []
    unmeasured(session, task, records)
    for number in range(session.runs):
        session.say(f"run {number + 1} of {session.runs}: {records:,} records through the engine")
        snapshot = session.engine.snapshot(task, patience(records))
        session.say(f"{records / snapshot.seconds:,.0f} records/s; now the bound")
        told = polars_alone(session, bound, patience(records))
        session.say(f"{records / told['seconds']:,.0f} records/s by polars alone")
        if told["rows"] != snapshot.rows["person"]:
            raise Fatal(f"the engine prepared {snapshot.rows['person']} rows and the bound {told['rows']}")
        found.engine.append(snapshot.seconds)
        found.bound.append(told["seconds"])
        seen.append({"counts": snapshot.report["tables"], "memory": mib(snapshot.peaks), "bound": told})
    found.details["runs"] = seen
    return found


def unmeasured(session: Session, task: Path, records: int) -> None:
    """The same work once before: the broker compiles, and every service takes its memory, as they meet so much."""
    session.say(f"{records:,} records through the engine, unmeasured")
    session.engine.snapshot(task, patience(records))


def warm(session: Session) -> None:
    """A small run, so that every service has its code loaded and its connections open."""
    session.engine.snapshot(people_task(session.data, WARM_RECORDS), WITHIN)


def polars_alone(session: Session, arguments: list[str], seconds: float) -> dict[str, Any]:
    session.engine.checkpoint()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bound", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise Fatal(f"the bound could not be measured:\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def patience(records: int) -> float:
    """Seconds after which a run of so many records counts as stuck, on a slow machine."""
    return WITHIN + records / 10_000
