"""Topics for the benchmarks: made, filled and removed.

As a program it feeds records at a fixed rate and says when it sent which: `python -m benchmarks.feeding TOPIC --rate
10000 --seconds 30` prints a line `FIRST COUNT TIME` for every hundredth of a second.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks import data
from benchmarks.engine import WITHIN, until
from deploy.stack import Endpoints, endpoints
from schemas.errors import Fatal

TICK: Final = 0.01
KEPT: Final = {"retention.ms": "-1", "segment.bytes": str(128 << 20)}


def make(ends: Endpoints, topic: str, partitions: int) -> None:
    admin = AdminClient(ends.kafka.confluent())
    admin.create_topics([NewTopic(topic, partitions, 1, config=KEPT)])[topic].result(WITHIN)
    until(lambda: len(_partitions(admin, topic)) == partitions, WITHIN, f"topic {topic} is there")


def remove(ends: Endpoints, topic: str) -> None:
    admin = AdminClient(ends.kafka.confluent())
    admin.delete_topics([topic])[topic].result(WITHIN)
    until(lambda: not _partitions(admin, topic), WITHIN, f"topic {topic} is gone")


@contextmanager
def passing(ends: Endpoints, partitions: int) -> Iterator[str]:
    """A topic of its own for the block."""
    topic = f"bench.live.{secrets.token_hex(4)}"
    make(ends, topic, partitions)
    try:
        yield topic
    finally:
        remove(ends, topic)


def people_topics(ends: Endpoints, records: int, partitions: int) -> dict[str, str]:
    """A topic for each source of the people task; filled again only when something is missing."""
    found = {}
    for number, source in enumerate(data.SOURCES):
        topic = f"bench.people.{source}.{records}.{partitions}"
        crm = records * 55 // 100
        count = crm if number == 0 else records - crm
        there = length(ends, topic)
        if there != count:
            if there is not None:
                remove(ends, topic)
            make(ends, topic, partitions)
            send(ends, topic, (one for part in data.source_messages(number, records) for one in part))
        found[source] = topic
    return found


def send(ends: Endpoints, topic: str, values: Iterable[str]) -> None:
    """Returns when the broker has all of them."""
    producer = _producer(ends)
    for value in values:
        _produce(producer, topic, value)
    _finish(producer, topic)


def send_changes(ends: Endpoints, topic: str, ids: list[int], note: str) -> None:
    """Changes of these people. The same person goes to the same partition: changes are ordered within one alone."""
    producer = _producer(ends)
    for number, value in zip(ids, data.changed(ids, note), strict=True):
        _produce(producer, topic, value, str(number))
    _finish(producer, topic)


def _finish(producer: Producer, topic: str) -> None:
    if producer.flush(WITHIN):
        raise Fatal(f"the broker did not take all messages of {topic} within {WITHIN:.0f} s")


def length(ends: Endpoints, topic: str) -> int | None:
    """How many messages a topic holds; None if there is no such topic."""
    settings = ends.kafka.confluent()
    partitions = _partitions(AdminClient(settings), topic)
    if not partitions:
        return None
    consumer = Consumer({**settings, "group.id": "bench"})
    try:
        marks = [consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=30) for n in partitions]
    finally:
        consumer.close()
    return sum(high - low for low, high in marks)


def _partitions(admin: AdminClient, topic: str) -> list[int]:
    told = admin.list_topics(timeout=30).topics.get(topic)
    return [] if told is None or told.error is not None else sorted(told.partitions)


def _producer(ends: Endpoints) -> Producer:
    settings: dict[str, Any] = {
        **ends.kafka.confluent(),
        "linger.ms": 5,
        "acks": "all",
        "compression.type": "lz4",
        "queue.buffering.max.messages": 200_000,
    }
    return Producer(settings)


def _produce(producer: Producer, topic: str, value: str, key: str | None = None) -> None:
    while True:
        try:
            return producer.produce(topic, value, key)
        except BufferError:
            producer.poll(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic")
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    values = data.messages(data.unique_people(0, int(given.rate * given.seconds)))
    producer = _producer(endpoints())
    producer.list_topics(given.topic, timeout=30)
    began, sent = time.time(), 0
    while sent < len(values):
        due = min(len(values), int((time.time() - began) * given.rate))
        if due > sent:
            now = time.time()  # a record's time is taken before it is handed to the producer
            for value in values[sent:due]:
                _produce(producer, given.topic, value)
            sys.stdout.write(f"{sent} {due - sent} {now}\n")
            sys.stdout.flush()
            sent = due
        producer.poll(0)
        time.sleep(TICK)
    _finish(producer, given.topic)


if __name__ == "__main__":
    main()
