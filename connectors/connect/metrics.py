"""What `connect` measures."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY = CollectorRegistry()

RECORDS = Counter("metal_source_records_total", "Records read from sources", registry=REGISTRY)
REJECTED = Counter(
    "metal_source_rejected_records_total", "Records that could not be read as declared", registry=REGISTRY
)
LANES = Gauge("metal_lanes", "Lanes that this process reads", registry=REGISTRY)
HELD = Counter(
    "metal_held_barriers_total",
    "Epochs that were not ended when their time came, since the run was behind",
    registry=REGISTRY,
)
LAST = Gauge("metal_last_processed_timestamp_seconds", "When a source was last read", registry=REGISTRY)
