"""Throughput and memory as the people task grows: 2 M, 10 M and, if asked for, 40 M records."""

from __future__ import annotations

from typing import Any, Final

from benchmarks import data
from benchmarks.comparing import patience, unmeasured
from benchmarks.engine import Snapshot
from benchmarks.figures import Figure, Outcome, Target
from benchmarks.memory import mib
from benchmarks.session import Session

GIB: Final = 2**30
SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"records": 2_000_000, "more": 10_000_000, "most": 0},
    "small": {"records": 100_000, "more": 500_000, "most": 0},
    "tiny": {"records": 4_000, "more": 8_000, "most": 0},
}


def measure(session: Session, records: int, more: int, most: int) -> Outcome:
    """`most` is measured once, and only if it is given: 40 M records need some 30 GB of disk."""
    for count in (records, more):
        unmeasured(session, data.people_task(session.data, count), count)
    runs: dict[int, list[Snapshot]] = {count: [] for count in (records, more)}
    for _ in range(session.runs):  # in turns, so that other load on the machine meets both
        for count, found in runs.items():
            found.append(_snapshot(session, count))
    if most:
        runs[most] = [_snapshot(session, most)]
    outcome = Outcome()
    for count, found in runs.items():
        _tell(outcome, count, found)
    ratios = [small.seconds / records * more / large.seconds for small, large in _pairs(runs, records, more)]
    outcome.figures["throughput_ratio"] = Figure(
        f"throughput at {more:,} against {records:,} records", "", ratios, Target(">=", 0.95)
    )
    return outcome


def _pairs(runs: dict[int, list[Snapshot]], records: int, more: int) -> list[tuple[Snapshot, Snapshot]]:
    return list(zip(runs[records], runs[more], strict=True))


def _snapshot(session: Session, records: int) -> Snapshot:
    task = data.people_task(session.data, records)
    found = session.engine.snapshot(task, patience(records))
    session.say(f"{records:,} records: {records / found.seconds:,.0f} records/s, {_largest(found) / GIB:.2f} GiB")
    return found


def _tell(outcome: Outcome, records: int, found: list[Snapshot]) -> None:
    rates = [records / one.seconds for one in found]
    outcome.figures[f"records_per_second_{records}"] = Figure(f"throughput at {records:,} records", "records/s", rates)
    outcome.figures[f"largest_process_gib_{records}"] = Figure(
        f"resident memory of the largest process at {records:,} records",
        "GiB",
        [_largest(one) / GIB for one in found],
        Target("<=", 1.2),
    )
    outcome.details[f"memory_{records}"] = [mib(one.peaks) for one in found]


def _largest(found: Snapshot) -> int:
    return max((peak.resident for peak in found.peaks.values()), default=0)
