"""The contract's people task from CSV to rows in the review store, beside the same work by polars without Kafka."""

from __future__ import annotations

from typing import Any, Final

from benchmarks import data
from benchmarks.comparing import compare
from benchmarks.figures import Figure, Outcome, Target
from benchmarks.session import Session

SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"records": 2_000_000},
    "small": {"records": 200_000},
    "tiny": {"records": 4_000},
}


def measure(session: Session, records: int) -> Outcome:
    task = data.people_task(session.data, records)
    size = data.size(task)
    found = compare(session, task, records, ["csv", str(task.parent / "data")])
    rates = [records / seconds for seconds in found.engine]
    return Outcome(
        {
            "records_per_second": Figure("CSV to rows in the review store", "records/s", rates, Target(">=", 250_000)),
            "megabytes_per_second": Figure(
                "the same in bytes of CSV", "MB/s", [size / 1e6 / seconds for seconds in found.engine], Target(">=", 32)
            ),
            "bound_records_per_second": Figure(
                "the same work by polars and ADBC COPY in one process",
                "records/s",
                [records / seconds for seconds in found.bound],
            ),
            "share_of_bound": Figure("of the bound in the same run", "", found.shares(), Target(">=", 0.7)),
        },
        {"bytes": size, "bytes_per_record": round(size / records, 1)} | found.details,
    )
