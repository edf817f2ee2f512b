"""A census in groups of k = 10 by eight quasi-identifiers as a task of the engine: CSV to rows in the review store.

What `privacy_mondrian` measures of the core alone, in the place where it works: the rows stand in sealed segments of a
worker, are read from there, coded and grouped. Besides, the whole run's throughput and the memory of every process.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks import census_task
from benchmarks.comparing import patience, warm
from benchmarks.engine import Snapshot
from benchmarks.figures import Figure, Outcome, Target
from benchmarks.memory import mib
from benchmarks.mondrian import whose
from benchmarks.session import Session
from schemas.errors import Fatal

GIB: Final = 2**30
SECONDS: Final = "metal_grouping_seconds_sum,method=generalize"
RECORDS: Final = "metal_grouped_records_total,method=generalize"
SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"records": 1_000_000, "more": 3_016_200, "most": 0},
    "small": {"records": 30_162, "more": 301_620, "most": 0},
    "tiny": {"records": 2_000, "more": 4_000, "most": 0},
}


def measure(session: Session, records: int, more: int, most: int) -> Outcome:
    """`most` is measured once, and only if it is given: 40 M records need some 40 GB of disk."""
    warm(session)
    outcome = Outcome(details={"census": whose()})
    for count, times in ((records, session.runs), (more, session.runs), (most, 1)):
        if count:
            _tell(session, outcome, count, [_grouped(session, count) for _ in range(times)])
    return outcome


def _grouped(session: Session, records: int) -> tuple[Snapshot, float]:
    """The run, and the seconds that its groups took in the worker."""
    task = census_task.task(session.data, records)
    before = session.engine.metrics("worker")
    found = session.engine.snapshot(task, patience(records))
    after = session.engine.metrics("worker")
    seconds, grouped = (after.get(name, 0.0) - before.get(name, 0.0) for name in (SECONDS, RECORDS))
    if grouped != records or found.rows["person"] != records:
        raise Fatal(f"of {records} records {grouped:.0f} were grouped and {found.rows['person']} are prepared")
    return found, seconds


def _tell(session: Session, outcome: Outcome, records: int, found: list[tuple[Snapshot, float]]) -> None:
    grouping = Figure(
        f"groups of {records:,} records inside a worker, from sealed segments to a group for each",
        "rows/s",
        [records / seconds for _, seconds in found],
        Target(">=", 1_000_000),
    )
    whole = Figure(
        f"{records:,} records from CSV to rows in the review store, grouped",
        "records/s",
        [records / one.seconds for one, _ in found],
    )
    largest = Figure(
        f"resident memory of the largest process at {records:,} records",
        "GiB",
        [max(peak.resident for peak in one.peaks.values()) / GIB for one, _ in found],
        Target("<=", 1.5),
    )
    outcome.figures |= {
        f"grouped_rows_per_second_{records}": grouping,
        f"records_per_second_{records}": whole,
        f"largest_process_gib_{records}": largest,
    }
    outcome.details[f"memory_{records}"] = [mib(one.peaks) for one, _ in found]
    outcome.details[f"grouping_seconds_{records}"] = [round(seconds, 3) for _, seconds in found]
    session.say(
        f"{records:,} records: grouped at {grouping.value:,.0f} rows/s, {whole.value:,.0f} records/s in all, "
        f"{largest.value:.2f} GiB"
    )
