"""What a worker measures. Base units, prefix `metal_`, never a label per run, record or user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

RECORDS = Counter("metal_stage_records_total", "Records a stage took in", ["stage"], registry=REGISTRY)
BYTES = Counter("metal_stage_bytes_total", "Bytes a stage took in", ["stage"], registry=REGISTRY)
DROPPED = Counter("metal_dropped_records_total", "Records dropped, by kind of rule", ["rule"], registry=REGISTRY)
REJECTED = Counter("metal_rejected_records_total", "Records sent to the dead letters", ["stage"], registry=REGISTRY)
ACKED = Counter("metal_stage_batches_total", "Batches acknowledged", ["stage"], registry=REGISTRY)
REPEATED = Counter(
    "metal_repeated_batches_total",
    "Batches that had been seen and were dropped",
    ["stage"],
    registry=REGISTRY,
)
STAGE_SECONDS = Histogram(
    "metal_stage_seconds",
    "Time a stage takes for one batch",
    ["stage"],
    registry=REGISTRY,
    buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
EPOCH_SECONDS = Histogram(
    "metal_epoch_seconds",
    "Time to close an epoch on one partition",
    ["stage"],
    registry=REGISTRY,
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
GROUPING_SECONDS = Histogram(
    "metal_grouping_seconds",
    "Time to form the groups of a table, reading what it looks at included",
    ["method"],
    registry=REGISTRY,
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
GROUPED = Counter("metal_grouped_records_total", "Records that groups were formed of", ["method"], registry=REGISTRY)
STATE_BYTES = Gauge("metal_state_bytes", "Size of the local segments", ["table"], registry=REGISTRY)
LAG = Gauge("metal_lag_records", "Batches behind the end of the assigned partitions", ["topic"], registry=REGISTRY)
LAG_SECONDS = Gauge(
    "metal_lag_seconds", "Age of the batch that was taken in last, since it was read from its source", registry=REGISTRY
)
REBALANCES = Counter("metal_rebalances_total", "How often partitions were assigned anew", registry=REGISTRY)
HOLES = Gauge("metal_delivery_holes", "Holes in the offsets that were answered by seeking back", registry=REGISTRY)
LAST = Gauge("metal_last_processed_timestamp_seconds", "When the last batch was taken in", registry=REGISTRY)

AT_WORK = Gauge("metal_cores_at_work", "Pure cores that compute right now", registry=REGISTRY)

_work = 0.0
_computing = 0


def worked() -> None:
    """Something was done: a batch taken in, a piece of an epoch sent."""
    global _work
    _work += 1
    LAST.set_to_current_time()


def work_done() -> float:
    return _work


def grouped(method: str, rows: int, seconds: float) -> None:
    """Groups were formed of so many rows."""
    GROUPING_SECONDS.labels(method).observe(seconds)
    GROUPED.labels(method).inc(rows)


@contextmanager
def computing() -> Iterator[None]:
    """A core is at work, however long it takes. On the loop only."""
    global _computing
    _computing += 1
    AT_WORK.set(_computing)
    try:
        yield
    finally:
        _computing -= 1
        AT_WORK.set(_computing)
        worked()


def is_computing() -> bool:
    return _computing > 0
