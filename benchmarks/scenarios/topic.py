"""The people task from two topics of one JSON record per message, beside topics to polars to COPY in one process."""

from __future__ import annotations

from typing import Any, Final

from benchmarks import data, feeding
from benchmarks.comparing import compare
from benchmarks.figures import Figure, Outcome, Target
from benchmarks.session import Session

SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"records": 2_000_000, "partitions": 2},
    "small": {"records": 200_000, "partitions": 2},
    "tiny": {"records": 4_000, "partitions": 2},
}


def measure(session: Session, records: int, partitions: int) -> Outcome:
    session.say(f"{records:,} messages in two topics")
    topics = feeding.people_topics(session.engine.ends, records, partitions)
    task = data.topic_task(session.data, topics)
    found = compare(session, task, records, ["topic", *topics.values()])
    rates = [records / seconds for seconds in found.engine]
    bound = [records / seconds for seconds in found.bound]
    return Outcome(
        {
            "records_per_second": Figure(
                "topic to rows in the review store", "records/s", rates, Target(">=", 120_000)
            ),
            "bound_records_per_second": Figure("topic to polars to ADBC COPY in one process", "records/s", bound),
            "share_of_bound": Figure("of the bound in the same run", "", found.shares(), Target(">=", 0.7)),
        },
        found.details,
    )
