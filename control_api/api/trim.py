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
from control_api.store import retention
from control_api.store.db import Connection
from control_api.store.durable import make_durable
from schemas.errors import Retriable
from schemas.topics import CLEANSED, DEADLETTER, EXTRACTED, MERGE_STATE, OUTBOX, RELATE_STATE, RELATED

log = structlog.get_logger()

GROUP: Final = "metal"  # of the workers
_BY_WORKERS: Final = (EXTRACTED.name, CLEANSED.name, RELATED.name)
_BY_REVIEW: Final = (OUTBOX.name, DEADLETTER.name)
_STATE: Final = (MERGE_STATE.name, RELATE_STATE.name)
_REFUSALS: Final = {
    # Of a topic that an earlier version has made. With `delete` first, what is old would go while it is still needed.
    KafkaError.POLICY_VIOLATION: "set retention.ms and retention.bytes to -1, then cleanup.policy to compact,delete",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "allow the API's user to delete on it",
}
_SECONDS: Final = 30.0  # a broker that has just come up takes a while to load what groups have acknowledged


def trim(conn: Connection, kafka: dict[str, Any], changelogs: Changelogs) -> dict[str, int]:
    """How many messages went, by topic."""
    admin = AdminClient({**kafka, "log_level": 3})
    try:
        known = admin.list_topics(timeout=_SECONDS).topics
        gone = _cut(conn, admin, _done_with(conn, kafka, _places(known, _BY_WORKERS)))
        ends = _offsets(admin, _places(known, _STATE), "latest")
        return gone | _cut(conn, admin, changelogs.over(ends, retention.open_names(conn)))
    except KafkaException as error:
        raise Retriable(f"topics can't be trimmed: {error}") from error


def _done_with(conn: Connection, kafka: dict[str, Any], places: list[TopicPartition]) -> dict[Place, int]:
    """Up to where stage topics have been read for good."""
    bounds = _acknowledged(conn, kafka, places)
    partitions = sum(place.topic == EXTRACTED.name for place in places)
    # Asked after the offsets: what is below them was there before.
    _spare(bounds, retention.needed_by_lanes(conn, partitions))
    return bounds


def _cut(conn: Connection, admin: AdminClient, bounds: dict[Place, int]) -> dict[str, int]:
    low = _offsets(admin, [TopicPartition(*at) for at in bounds], "earliest")
    wanted = [TopicPartition(*at, bound) for at, bound in bounds.items() if bound > low.get(at, bound)]
    if not wanted:
        return {}
    make_durable(conn)  # invariant 2: what is deleted for what the database says must not be forgotten there
    return _delete(admin, wanted, low)


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


def _places(known: Mapping[str, Any], topics: Iterable[str]) -> list[TopicPartition]:
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
            if (right := _REFUSALS.get(error.args[0].code())) is None:
                raise
            _refused(at.topic, right)
            continue
        gone[at.topic] = gone.get(at.topic, 0) + begins - low[at.topic, at.partition]
    return gone


@cache
def _refused(topic: str, right: str) -> None:
    """Said once. All else is trimmed the same; what is over stays until it is compacted, or its time is over."""
    log.warning("nobody may trim this topic: what is over stays longer", topic=topic, right=right)
