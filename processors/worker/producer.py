"""Faust's producer on librdkafka, which takes a seventh of the processor time for each byte (see docs/adr/0004).

What always holds: a partition's messages come to stand in the log in the order in which `send` was called, once each;
behind one that could not be delivered none of this process is, because the process ends. A receiver takes a number it
has not seen for new and all below it for known, so a hole would be lost for good. What waits for the broker is bounded.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Any, NoReturn, cast

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Message
from faust.transport import base
from faust.types import TP, RecordMetadata

from processors.worker.ending import end_process
from schemas import topics
from schemas.errors import Fatal

WAITING = 32 << 20  # bytes that wait for the broker before senders wait
MESSAGE = 1024  # bytes that a message takes besides its value
FLUSH = 5.0  # seconds in which what waits is delivered when a worker stops in order

UNDELIVERED = "a message could not be delivered"

SETTINGS: dict[str, Any] = {
    **topics.EVERY_MESSAGE,
    "enable.gapless.guarantee": True,
    "queue.buffering.max.kbytes": 2 * (WAITING >> 10),
    "topic.metadata.refresh.interval.ms": 10_000,
}


class BulkProducer(base.Producer):
    """What Faust calls its producer; made by the transport, one for an app."""

    def __post_init__(self) -> None:
        self._producer: confluent_kafka.Producer | None = None
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._waiting = 0

    @property
    def started(self) -> bool:
        return self._producer is not None

    async def on_start(self) -> None:
        await super().on_start()
        producer = confluent_kafka.Producer({**cast(Any, self.app).kafka, **SETTINGS, "client.id": self.client_id})
        self._producer = producer
        threading.Thread(target=self._poll, args=(producer,), name="producer", daemon=True).start()

    async def on_stop(self) -> None:
        await super().on_stop()
        await self.flush()
        self._producer = None

    async def flush(self) -> None:
        if self._producer is not None:
            await asyncio.to_thread(self._producer.flush, FLUSH)

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        """Returns when the message is on its way; what is returned is done when the broker has it."""
        size = len(value or b"") + MESSAGE
        async with self._turn:  # Enforces: who waits for room is served in turn
            while self._waiting and self._waiting + size > WAITING:
                self._room.clear()
                await self._room.wait()
        if self._producer is None:
            raise RuntimeError("a message is sent before Faust has started its producer, or after it was stopped")
        done: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        try:
            self._producer.produce(
                topic,
                value=value,
                key=key,
                partition=-1 if partition is None else partition,
                headers=list(headers.items()) if isinstance(headers, Mapping) else headers,
                on_delivery=partial(self._delivered, done, size),
            )
        except KafkaException as error:
            _refused(error.args[0], topic, len(value or b""))
        self._waiting += size
        return done

    async def send_and_wait(self, *given: Any, **named: Any) -> RecordMetadata:
        return await (await self.send(*given, **named))

    def supports_headers(self) -> bool:
        return True

    def _poll(self, producer: confluent_kafka.Producer) -> None:
        while self._producer is producer:
            producer.poll(0.2)

    def _delivered(
        self, done: asyncio.Future[RecordMetadata], size: int, error: KafkaError | None, message: Message
    ) -> None:
        """Called by the polling thread."""
        if error is not None:
            end_process(f"{UNDELIVERED}: {error}")
        topic, number = message.topic() or "", message.partition() or 0
        told = RecordMetadata(topic, number, TP(topic, number), message.offset() or 0)
        done.get_loop().call_soon_threadsafe(self._settle, done, size, told)

    def _settle(self, done: asyncio.Future[RecordMetadata], size: int, told: RecordMetadata) -> None:
        self._waiting -= size
        self._room.set()
        if not done.done():  # who waited for it may be gone
            done.set_result(told)


def too_large(topic: str, size: int) -> Fatal:
    largest = f"a message takes {topics.MAX_MESSAGE:,} at most: fewer or shorter records would fit"
    return Fatal(f"a batch for {topic} has {size:,} bytes, and {largest}")


def _refused(error: KafkaError, topic: str, size: int) -> NoReturn:
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        raise too_large(topic, size)
    end_process(f"{UNDELIVERED}: {error}")
