"""The topics, and what may be set of them. Stage topics know no compaction and no transactions: offsets are dense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

MAX_MESSAGE: Final = 16 * 1024 * 1024
HOUR: Final = 3_600_000

# Of a librdkafka producer: a partition's messages arrive in their order, each once, also where the broker was away.
EVERY_MESSAGE: Final[dict[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 2,
    "message.max.bytes": MAX_MESSAGE,
    "delivery.timeout.ms": 600_000,
}


@dataclass(frozen=True)
class Topic:
    name: str
    partitioned: bool = True
    settings: dict[str, str] = field(default_factory=dict)


# Bytes of a log's segment. Logs are trimmed by segments, so they are small, and above the largest message. A broker
# notes a place every 4 KiB at most, in twelve bytes; whatever its files for that hold beyond is read and thrown away.
SEGMENT: Final = 2 * MAX_MESSAGE
_SEGMENTS = {"segment.bytes": str(SEGMENT), "segment.index.bytes": str(SEGMENT // 4096 * 16)}
_ANY_SIZE = {"retention.bytes": "-1"}  # whatever a broker's default is: that would delete what is still to be read


def _stage(name: str, retention: int) -> Topic:
    return Topic(
        name,
        settings={
            "cleanup.policy": "delete",
            "retention.ms": str(retention),
            **_ANY_SIZE,
            **_SEGMENTS,
            "segment.ms": str(HOUR // 4),
        },
    )


_COMPACT = {"cleanup.policy": "compact", "segment.ms": str(HOUR // 4), "min.cleanable.dirty.ratio": "0.1"}
_STATE = {
    **_COMPACT,
    **_SEGMENTS,
    # Most entries are gone when their run is: what is compacted while it goes on is copied for nothing.
    "min.compaction.lag.ms": str(HOUR // 12),
    # Nothing goes by its age. But of a topic that is compacted alone, nobody may delete what is over.
    "cleanup.policy": "compact,delete",
    "retention.ms": "-1",
    **_ANY_SIZE,
}

EXTRACTED: Final = _stage("metal.extracted", 24 * HOUR)
CLEANSED: Final = _stage("metal.cleansed", 24 * HOUR)
RELATED: Final = _stage("metal.related", 24 * HOUR)
OUTBOX: Final = _stage("metal.outbox", 72 * HOUR)
DEADLETTER: Final = _stage("metal.deadletter", 72 * HOUR)
MERGE_STATE: Final = Topic("metal-merge-state-changelog", settings=dict(_STATE))
RELATE_STATE: Final = Topic("metal-relate-state-changelog", settings=dict(_STATE))
CONTROL: Final = Topic("metal.control", partitioned=False, settings=dict(_COMPACT))
AUDIT: Final = Topic(
    "metal.audit",
    partitioned=False,
    settings={"cleanup.policy": "delete", "retention.ms": str(30 * 24 * HOUR), **_ANY_SIZE},
)
PROGRESS: Final = Topic("metal.progress", partitioned=False, settings=dict(_COMPACT))

ALL: Final = (
    EXTRACTED,
    CLEANSED,
    RELATED,
    OUTBOX,
    DEADLETTER,
    MERGE_STATE,
    RELATE_STATE,
    CONTROL,
    AUDIT,
    PROGRESS,
)


def partition_of(run: str, logical: int, total: int) -> int:
    """Where a run's logical partition stands: small runs are spread over the topic by their name."""
    return (sum(run.encode()) + logical) % total
