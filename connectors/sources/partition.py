"""One partition of a topic, read in bulk from an offset that the caller names."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from schemas.errors import Fatal, MetalError, Retriable

ANSWER_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.2
IDLE_SECONDS: Final = 0.02  # how long the end of a followed partition is watched in one reading
FLOW_SECONDS: Final = 0.1  # how long a followed partition is read whose end is never reached
BULK: Final = 10_000
_LOST: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
_FINAL: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)


@dataclass
class Batch:
    """Messages in order of their offsets. Offsets may leave gaps; `next_offset` is behind them all."""

    next_offset: int
    values: list[bytes | None] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    ended: bool = False


class Partition:
    """Keeps its consumer between readings, so that a followed topic is not joined anew each time."""

    def __init__(self, settings: dict[str, Any], topic: str, number: int) -> None:
        self._consumer = Consumer(settings)
        self._topic = topic
        self._number = number
        self._next: int | None = None
        self._at_end = False

    def read(self, offset: int, end: int | None, rows: int, size: int) -> Batch:
        """Messages from `offset` until there are enough, or none is left, or `end` is reached.

        Followed, at most for a moment behind the first: what keeps coming would never leave time to hand over.
        """
        if self._next != offset:
            self._consumer.assign([TopicPartition(self._topic, self._number, offset)])
            self._at_end = False
        batch = Batch(offset)
        held = 0
        deadline = time.monotonic() + ANSWER_SECONDS
        first = None
        while len(batch.offsets) < rows and held < size and (end is None or batch.next_offset < end):
            messages = self._some(min(BULK, rows - len(batch.offsets)))
            if not messages and self._at_end:
                break
            if messages:
                now = time.monotonic()
                deadline = now + ANSWER_SECONDS
                held += self._take(messages, batch, end)
                first = now if first is None and batch.offsets else first
                if end is None and first is not None and now - first > FLOW_SECONDS:
                    break
            elif time.monotonic() > deadline:
                self._next = None
                raise Retriable(f"no broker answers for topic {self._topic}, partition {self._number}")
        batch.ended = self._at_end
        # messages beyond `end` were fetched and left: the next reading would ask for them again
        self._next = batch.next_offset if end is None or batch.next_offset < end else None
        return batch

    def _some(self, count: int) -> list[Any]:
        messages: list[Any] = self._consumer.consume(count, 0.0)
        if messages:
            return messages
        message = self._consumer.poll(IDLE_SECONDS if self._at_end else POLL_SECONDS)
        return [] if message is None else [message]

    def _take(self, messages: list[Any], batch: Batch, end: int | None) -> int:
        """Adds messages to a batch; answers with how many bytes they hold."""
        self._at_end = False
        if any(message.error() is not None for message in messages):
            messages = [message for message in messages if self._is_record(message, batch)]
        if not messages:
            return 0
        offsets = [message.offset() for message in messages]
        if end is not None and offsets[-1] >= end:
            count = sum(offset < end for offset in offsets)
            messages, offsets = messages[:count], offsets[:count]
            batch.next_offset = end
        else:
            batch.next_offset = max(batch.next_offset, offsets[-1] + 1)
        values = [message.value() for message in messages]
        batch.values += values
        batch.offsets += offsets
        keyed = None in values  # which is when a key is looked at
        batch.keys += [message.key() if keyed else None for message in messages]
        return sum(len(value) for value in values if value is not None)

    def _is_record(self, message: Any, batch: Batch) -> bool:
        error = message.error()
        if error is None:
            self._at_end = False
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self._at_end = True  # what ends a transaction has an offset and is no message
            batch.next_offset = max(batch.next_offset, message.offset())
        elif error.code() in _LOST:
            raise Fatal(
                f"topic {self._topic}, partition {self._number}: offset {batch.next_offset} is no longer there; "
                "it was deleted before it was read"
            )
        elif error.code() in _FINAL or error.fatal():
            raise failure(error, self._topic)
        return False

    def close(self) -> None:
        self._consumer.close()


def failure(error: Any, topic: str) -> MetalError:
    """What to do about an error of the client."""
    what = f"topic {topic} cannot be read: {error.str()}"
    return Fatal(what) if error.code() in _FINAL or error.fatal() else Retriable(what)
