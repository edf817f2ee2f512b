"""Sends what a transaction has left in an outbox table to its topic: marked only after the broker has it.

A crash in between sends it again, under the same sequence number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from schemas.errors import Retriable

BATCH: Final = 500
CHANNEL: Final = "metal_outbox"  # NOTIFY on it says that there is something to relay
_SECONDS: Final = 10.0


class Producer(Protocol):
    """What is used of `confluent_kafka.Producer`."""

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Any) -> None: ...

    def flush(self, timeout: float) -> int: ...


def deliver(producer: Producer, topic: str, messages: Sequence[tuple[str, bytes]]) -> None:
    """All of it, in this order, or `Retriable`."""
    failed: list[str] = []

    def done(error: object, _: object) -> None:
        if error is not None:
            failed.append(str(error))

    for key, value in messages:
        producer.produce(topic, value=value, key=key.encode(), on_delivery=done)
    waiting = producer.flush(_SECONDS)
    if failed or waiting:
        why = failed[0] if failed else f"{waiting} messages were not taken within {_SECONDS:.0f} s"
        raise Retriable(f"the broker did not take what was sent to {topic}: {why}")
