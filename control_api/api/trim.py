"""Deletes from topics what nobody will read again. What is left of an ended run has no key anyway.

Of stage topics never beyond what a stage has acknowledged, so a reader never finds the log beginning behind where it
stands; and while a run is open, never beyond what a lane would be read back from. Of changelogs never beyond what a run
may have written that is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, Literal

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import admin as kafka_admin
from confluent_kafka.admin import AdminClient

from control_api.api.changelogs import Changelogs, Place
from control_api.store import retention, runs
from control_api.store.db import Connection
from schemas.errors import Retriable
from schemas.topics import CLEANSED, DEADLETTER, EXTRACTED, MERGE_STATE, OUTBOX, RELATE_STATE, RELATED

log = structlog.get_logger()

GROUP: Final = "metal"  # of the workers
_BY_WORKERS: Final = (EXTRACTED.name, CLEANSED.name, RELATED.name)
_BY_REVIEW: Final = (OUTBOX.name, DEADLETTER.name)
_STATE: Final = (MERGE_STATE.name, RELATE_STATE.name)
_SECONDS: Final = 30.0  # a broker that has just come up takes a while to load what groups have acknowledged


def trim(conn: Connection, kafka: dict[str, Any], changelogs: Changelogs) -> dict[str, int]:
    """How many messages went, by topic."""
    admin = AdminClient({**kafka, "log_level": 3})
    try:
        places = _places(admin, _BY_WORKERS)
        bounds = _acknowledged(conn, kafka, places)
        if retention.any_open(conn):  # asked after the offsets: what is below them was there before
            partitions = sum(place.topic == EXTRACTED.name for place in places)
            _spare(bounds, retention.needed_by_lanes(conn, partitions))
        ends = _offsets(admin, _places(admin, _STATE), "latest")
        bounds |= changelogs.over(ends, {run.run for run in runs.open_runs(conn)})
        low = _offsets(admin, [TopicPartition(*at) for at in bounds], "earliest")
        wanted = [TopicPartition(*at, bound) for at, bound in bounds.items() if bound > low.get(at, bound)]
        return _delete(admin, wanted, low) if wanted else {}
    except KafkaException as error:
        raise Retriable(f"stage topics can't be trimmed: {error}") from error


def _acknowledged(conn: Connection, kafka: dict[str, Any], places: list[TopicPartition]) -> dict[Place, int]:
    bounds: dict[Place, int] = {}
    for topic in _BY_REVIEW:
        bounds |= {(topic, at): offset for at, offset in retention.consumed(conn, topic).items()}
    # An AdminClient that asks for a group's offsets takes its process down (librdkafka 2.16, a null group) when the
    # answer is that the group's coordinator is loading or has moved. A consumer has a group, and never joins it here.
    consumer = Consumer({**kafka, "group.id": GROUP, "enable.auto.commit": False, "log_level": 3})
    try:
        for found in consumer.committed(places, timeout=_SECONDS):
            if found.error is None and found.offset >= 0:
                bounds[found.topic, found.partition] = found.offset
    finally:
        consumer.close()
    return bounds


def _places(admin: AdminClient, topics: Iterable[str]) -> list[TopicPartition]:
    known = admin.list_topics(timeout=_SECONDS).topics
    return [TopicPartition(topic, at) for topic in topics if topic in known for at in known[topic].partitions]


def _spare(bounds: dict[Place, int], needed: Mapping[int, int]) -> None:
    for at, offset in needed.items():
        place = (EXTRACTED.name, at)
        if place in bounds:
            bounds[place] = min(bounds[place], offset)


def _offsets(admin: AdminClient, places: list[TopicPartition], end: Literal["earliest", "latest"]) -> dict[Place, int]:
    if not places:
        return {}
    spec: Any = vars(kafka_admin)["OffsetSpec"]  # exported, though not by the package's types
    asked = dict.fromkeys(places, getattr(spec, end)())
    futures = admin.list_offsets(asked, request_timeout=_SECONDS)
    return {(at.topic, at.partition): future.result().offset for at, future in futures.items()}


def _delete(admin: AdminClient, wanted: list[TopicPartition], low: dict[Place, int]) -> dict[str, int]:
    gone: dict[str, int] = {}
    for at, future in admin.delete_records(wanted, request_timeout=_SECONDS).items():
        try:
            begins = future.result().low_watermark
        except KafkaException as error:
            if error.args[0].code() != KafkaError.POLICY_VIOLATION:
                raise
            _refused(at.topic)
            continue
        gone[at.topic] = gone.get(at.topic, 0) + begins - low[at.topic, at.partition]
    return gone


@cache
def _refused(topic: str) -> None:
    """Said once: a topic that an earlier version has made is compacted all the same."""
    right = "set its cleanup.policy to compact,delete and its retention.ms to -1"
    log.warning("the topic's policy lets nobody trim it: what is over stays longer", topic=topic, right=right)
