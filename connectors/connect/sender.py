"""Sends a lane's messages with librdkafka's idempotent producer, and knows what the broker has of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas import headers, topics
from schemas.headers import Header

log = structlog.get_logger()

Delivered = Callable[[Header, int], None]


class Sender:
    """One for a process; librdkafka bounds the memory that waits for the broker."""

    def __init__(self, kafka: dict[str, Any], partitions: int) -> None:
        self.partitions = partitions
        self._producer = Producer(
            {
                **kafka,
                **topics.EVERY_MESSAGE,
                "queue.buffering.max.kbytes": 64 * 1024,
                "queue.buffering.max.messages": 10_000,
            }
        )
        self._lock = threading.Lock()
        self.waiting = 0

    def send(self, partition: int, header: Header, payload: bytes, delivered: Delivered) -> None:
        """Returns when the message is in the producer's queue; `delivered` is called with its offset later."""

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                _end_process(header, error)
            with self._lock:
                self.waiting -= 1
            delivered(header, message.offset() or 0)

        with self._lock:
            self.waiting += 1
        while True:
            try:
                self._producer.produce(
                    topics.EXTRACTED.name,
                    value=payload,
                    key=header.run.encode(),
                    partition=partition,
                    headers=list[tuple[str, str | bytes | None]](headers.encode(header)),
                    on_delivery=on_delivery,
                )
                break
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                _end_process(header, error.args[0])
        self._producer.poll(0)

    def tell(self, key: str, event: bytes) -> None:
        """A run's progress, for whoever follows it; nothing depends on its delivery."""
        try:
            self._producer.produce(topics.PROGRESS.name, value=event, key=key.encode())
        except BufferError:
            log.debug("progress was not told: the queue is full", key=key)

    def poll(self, seconds: float) -> None:
        self._producer.poll(seconds)

    def flush(self, seconds: float) -> bool:
        return self._producer.flush(seconds) == 0


def _end_process(header: Header, error: KafkaError) -> None:
    """Whoever takes the lane over reads from the log what arrived."""
    log.critical("a batch can't be delivered", run=header.run, error=str(error))
    os._exit(70)
