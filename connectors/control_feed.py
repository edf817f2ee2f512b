"""Follows the control topic from its beginning, in a thread, and tells each event to a function."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas import events, topics

log = structlog.get_logger()

Listener = Callable[[dict[str, Any]], None]


class ControlFeed(threading.Thread):
    """Every process reads all of it; the topic is compacted by run, so it stays small."""

    def __init__(self, kafka: dict[str, Any], listener: Listener) -> None:
        super().__init__(name="control", daemon=True)
        self._kafka = kafka
        self._listener = listener
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        consumer = Consumer(
            {
                **self._kafka,
                "group.id": "metal-control",  # asked for by the client; never joined, never committed
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.assign([TopicPartition(topics.CONTROL.name, 0, 0)])
        while not self._stop_asked.is_set():
            try:
                message = consumer.poll(0.5)
            except KafkaException as error:
                log.warning("the control topic can't be read", error=str(error))
                self._stop_asked.wait(1)
                continue
            if message is None:
                continue
            if message.error():
                log.warning("the control topic can't be read", error=str(message.error()))
                continue
            value = message.value()
            if value is not None:
                self._listener(events.decode("control", value))
        consumer.close()
