"""Creates the topics with the right settings. Idempotent; never changes a topic that exists."""

from __future__ import annotations

import os
import time
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas import topics
from schemas.errors import Fatal, Retriable

log = structlog.get_logger()

DEFAULT_PARTITIONS = 8


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise Fatal(f"{name} is {text!r}; write a number of 1 or more")
    return int(text)


def ensure_topics(kafka: dict[str, Any]) -> int:
    """Returns how many partitions the stage topics have."""
    admin = AdminClient({**kafka, "socket.timeout.ms": 10_000})
    partitions = _number("METAL_PARTITIONS", DEFAULT_PARTITIONS)
    replication = _number("METAL_REPLICATION", 1)
    in_sync = _number("METAL_MIN_INSYNC", max(1, replication - 1))
    wanted = []
    for topic in topics.ALL:
        config = {
            **topic.settings,
            "max.message.bytes": str(topics.MAX_MESSAGE),
            "min.insync.replicas": str(in_sync),
        }
        count = partitions if topic.partitioned else 1
        wanted.append(NewTopic(topic.name, num_partitions=count, replication_factor=replication, config=config))
    for name, future in admin.create_topics(wanted, request_timeout=20).items():
        try:
            future.result()
            log.info("topic created", topic=name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Retriable(f"the topic {name} can't be created: {error}") from error
    return _partitions(admin)


_APPEARING = 20.0  # seconds in which a topic that was made must be seen


def _partitions(admin: AdminClient) -> int:
    wanted = {topic.name for topic in topics.ALL if topic.partitioned}
    until = time.monotonic() + _APPEARING
    while True:
        try:
            found = admin.list_topics(timeout=20).topics
        except KafkaException as error:
            raise Retriable(f"the broker does not answer: {error}") from error
        counts = {name: len(found[name].partitions) for name in sorted(wanted & found.keys())}
        if len(counts) == len(wanted) and all(counts.values()):
            break
        if time.monotonic() > until:
            raise Retriable(f"the broker does not show the topics {', '.join(sorted(wanted - counts.keys()))}")
        time.sleep(0.05)  # a broker shows a topic a moment after it has made it
    if len(set(counts.values())) != 1:
        raise Fatal(f"the stage topics must have the same number of partitions, but have {counts}")
    return next(iter(counts.values()))
