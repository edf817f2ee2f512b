"""What the review writer tells Prometheus. No label per run, record or user."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from connectors.review.store import Stored

REGISTRY: Final = CollectorRegistry()
ROWS: Final = Counter("metal_review_rows_total", "Rows stored", ["topic"], registry=REGISTRY)
BYTES: Final = Counter("metal_review_bytes_total", "Bytes of messages stored", ["topic"], registry=REGISTRY)
DROPPED: Final = Counter(
    "metal_review_dropped_total", "Messages seen before or of runs that are over", ["topic"], registry=REGISTRY
)
REFUSED: Final = Counter("metal_review_refused_rows_total", "Rows PostgreSQL would not take", registry=REGISTRY)
SKIPPED: Final = Counter("metal_review_skipped_total", "Messages nobody could have stored", registry=REGISTRY)
RETRIES: Final = Counter("metal_review_retries_total", "Transactions tried again", registry=REGISTRY)
SECONDS: Final = Histogram(
    "metal_review_transaction_seconds",
    "Time of a transaction",
    ["topic"],
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
LAST: Final = Gauge(
    "metal_review_last_processed_timestamp_seconds", "When something was stored last", registry=REGISTRY
)
LAG: Final = Gauge("metal_review_lag_messages", "Messages in Kafka not stored yet", ["topic"], registry=REGISTRY)
LAG_SECONDS: Final = Gauge("metal_review_lag_seconds", "Age of the oldest message held", registry=REGISTRY)
HELD: Final = Gauge("metal_review_held_bytes", "Bytes read and not stored yet", registry=REGISTRY)


def observe(topic: str, done: Stored, seconds: float) -> None:
    ROWS.labels(topic).inc(done.rows)
    BYTES.labels(topic).inc(done.size)
    DROPPED.labels(topic).inc(done.dropped)
    REFUSED.inc(done.refused)
    SECONDS.labels(topic).observe(seconds)
    LAST.set(time.time())
