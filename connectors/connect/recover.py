"""Reads a lane's state back from the log: from the last checkpoint up to the claim that fences earlier owners."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from connectors.connect.lane_state import LaneState
from schemas import headers, topics
from schemas.errors import Retriable

_SECONDS = 120.0


def read_back(
    kafka: dict[str, Any],
    partition: int,
    run: str,
    producer: str,
    checkpoint: dict[str, Any] | None,
    claim: int,
) -> LaneState:
    """`claim` is the offset of the new owner's claim; what an earlier owner sends behind it counts nowhere."""
    state = LaneState.decode(checkpoint["state"]) if checkpoint else LaneState()
    consumer = Consumer(
        {**kafka, "group.id": "metal-connect", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    )
    try:
        low, _ = consumer.get_watermark_offsets(TopicPartition(topics.EXTRACTED.name, partition), timeout=20)
        start = max(low, checkpoint["offset"] + 1 if checkpoint else low)
        consumer.assign([TopicPartition(topics.EXTRACTED.name, partition, start)])
        deadline = time.monotonic() + _SECONDS
        at = start - 1
        while at < claim:
            message = consumer.poll(1.0)
            if message is None:
                if time.monotonic() > deadline:
                    raise Retriable("the log of a lane can't be read back")
                continue
            if message.error():
                raise Retriable(f"the log of a lane can't be read back: {message.error()}")
            deadline = time.monotonic() + _SECONDS
            at = message.offset() or 0
            pairs = dict(message.headers() or [])
            if pairs.get("run") == run.encode() and pairs.get("producer") == producer.encode():
                state.apply(headers.decode(pairs.items()))
    finally:
        consumer.close()
    return state
