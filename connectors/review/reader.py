"""Reads metal.outbox and metal.deadletter as a member of the group metal-review, and places its partitions.

Where a partition stands is what metal.consumed says: that row moves in the transaction of the rows. What is committed
to Kafka follows it, for those who look there. What must not happen here: waiting for PostgreSQL while Kafka waits for
us; a partition that cannot be placed yet is tried again between two polls.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

import psycopg
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Raw

from connectors.review import metrics
from connectors.review.inbox import Inbox
from connectors.review.messages import Message, Place
from connectors.review.writer import Health
from schemas import headers, topics
from schemas.errors import Fatal

_log = structlog.get_logger("metal.review")

GROUP: Final = "metal-review"
TOPICS: Final = (topics.OUTBOX.name, topics.DEADLETTER.name)
_POLL: Final = 0.1
_AT_ONCE: Final = 64
_SESSION: Final = float(os.environ.get("METAL_SESSION_SECONDS", "10"))  # silence after which others take over
_IMPATIENT: Final = "-c statement_timeout=3s"  # Kafka must be polled, whoever holds what in the database
_EVERY: Final = 1.0  # seconds between commits to Kafka and looks at the lag


class Reader:
    def __init__(self, kafka: dict[str, Any], url: str, inbox: Inbox, health: Health) -> None:
        self._url = url
        self._inbox = inbox
        self._health = health
        self._paused = False
        self._unplaced: set[Place] = set()
        self._next_try = 0.0
        self._next_report = 0.0
        self._committed: dict[Place, int] = {}
        self._consumer = Consumer({**kafka, **_SETTINGS, "error_cb": self._on_error})

    def start(self) -> None:
        self._consumer.subscribe(
            list(TOPICS), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def step(self) -> None:
        """One poll and what is due."""
        for raw in self._come():
            self._take(raw)
        now = time.monotonic()
        self._unplaced.update(self._inbox.adrift())
        if self._unplaced and now >= self._next_try:
            self._next_try = now + 0.5
            self._place_again()
        self._throttle()
        if now >= self._next_report:
            self._next_report = now + _EVERY
            self._report()

    def close(self) -> None:
        self._report()
        self._consumer.close()

    def _come(self) -> list[Raw]:
        """Whatever is there once something is: asked for many, `consume` would wait until there are so many."""
        first = self._consumer.consume(1, _POLL)
        return [*first, *self._consumer.consume(_AT_ONCE, 0)] if first else []

    def _take(self, raw: Raw) -> None:
        error = raw.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                _log.warning("kafka_error", error=error.str())
            return
        self._health.set("kafka", None)
        topic, partition, offset = raw.topic(), raw.partition(), raw.offset()
        if topic is None or partition is None or offset is None:
            return
        header = None
        if topic == topics.OUTBOX.name:
            try:
                header = headers.decode(raw.headers())  # type: ignore[arg-type]
            except Fatal as reason:
                metrics.SKIPPED.inc()
                _log.error("message_skipped", topic=topic, partition=partition, offset=offset, reason=str(reason))
        at = raw.timestamp()[1] / 1000
        self._inbox.offer((topic, partition), Message(offset, raw.value() or b"", header, at))

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._health.set("kafka", None)
        placed = self._positions([(p.topic, p.partition) for p in partitions])
        if placed is not None:
            self._consumer.incremental_assign(self._placed(placed))
            return
        self._consumer.incremental_assign(partitions)  # ends the rebalance; nothing is taken before they are placed
        self._unplaced.update((p.topic, p.partition) for p in partitions)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        places = [(p.topic, p.partition) for p in partitions]
        self._inbox.remove(places)
        self._unplaced.difference_update(places)
        for place in places:
            self._committed.pop(place, None)
        self._consumer.incremental_unassign(partitions)

    def _place_again(self) -> None:
        assigned = {(p.topic, p.partition) for p in self._consumer.assignment()}
        self._unplaced &= assigned
        placed = self._positions(sorted(self._unplaced))
        if placed is None:
            return
        self._consumer.incremental_unassign([TopicPartition(*place) for place in placed])
        self._consumer.incremental_assign(self._placed(placed))
        self._unplaced.difference_update(placed)
        self._paused = False

    def _placed(self, positions: dict[Place, tuple[int, int]]) -> list[TopicPartition]:
        for place, (known, following) in positions.items():
            self._inbox.place(place, known, following)
        return [TopicPartition(*place, following) for place, (_, following) in positions.items()]

    def _positions(self, places: list[Place]) -> dict[Place, tuple[int, int]] | None:
        """For each partition what is stored of it and where to read on; None while a system is away."""
        try:
            bounds = {place: self._bounds(place) for place in places}
            with psycopg.connect(self._url, connect_timeout=5, autocommit=True, options=_IMPATIENT) as conn:
                known = {place: _stored(conn, place, bounds[place][0]) for place in places}
            self._health.set("postgres", None)
        except psycopg.OperationalError as error:
            self._health.set("postgres", type(error).__name__)
            return None
        except KafkaException as error:
            self._health.set("kafka", str(error.args[0]))
            return None
        return {place: (known[place], _start(place, known[place], *bounds[place])) for place in places}

    def _bounds(self, place: Place) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=5)
        return low, high

    def _throttle(self) -> None:
        """Invariant 6: what is held stays bounded however slow the database is; polling goes on all the while."""
        assigned = self._consumer.assignment()
        if self._inbox.full and not self._paused and assigned:
            self._consumer.pause(assigned)
            self._paused = True
        elif self._paused and self._inbox.held * 2 < self._inbox.limit:
            self._consumer.resume(assigned)
            self._paused = False

    def _report(self) -> None:
        if "kafka" in self._health.wrong:
            self._ask_kafka()
        stored = self._inbox.positions()
        moved = [
            TopicPartition(*place, offset) for place, offset in stored.items() if self._committed.get(place) != offset
        ]
        if moved:
            try:
                self._consumer.commit(offsets=moved, asynchronous=True)
                self._committed.update({(p.topic, p.partition): p.offset for p in moved})
            except KafkaException as error:
                _log.warning("offsets_not_committed", error=str(error.args[0]))
        oldest = self._inbox.oldest()
        metrics.LAG_SECONDS.set(max(0.0, time.time() - oldest) if oldest else 0.0)
        metrics.HELD.set(self._inbox.held)
        for topic in TOPICS:
            metrics.LAG.labels(topic).set(sum(self._lag(p, n) for p, n in stored.items() if p[0] == topic))

    def _lag(self, place: Place, stored: int) -> int:
        bounds: Any = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return max(0, bounds[1] - stored) if bounds and bounds[1] >= 0 else 0

    def _ask_kafka(self) -> None:
        """An idle topic would never tell that the broker is back."""
        try:
            self._consumer.list_topics(topics.OUTBOX.name, timeout=1.0)
            self._health.set("kafka", None)
        except KafkaException as error:
            self._health.set("kafka", str(error.args[0]))

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
            self._health.set("kafka", error.str())


_SETTINGS: Final = {
    "group.id": GROUP,
    "client.id": GROUP,
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": int(_SESSION * 1000),
    "heartbeat.interval.ms": int(_SESSION * 200),
    "max.poll.interval.ms": 300_000,
    "fetch.message.max.bytes": topics.MAX_MESSAGE,
    "queued.max.messages.kbytes": 16_384,
    "fetch.wait.max.ms": 200,  # what is resumed, too, waits for a fetch that is on its way
    "fetch.queue.backoff.ms": 20,  # what is fetched is taken at once: nothing waits a second for room
    "topic.metadata.refresh.interval.ms": 10_000,
}


def _stored(conn: psycopg.Connection[Any], place: Place, low: int) -> int:
    row = conn.execute(_STORED, place).fetchone()
    if row is None:
        conn.execute(_BEGIN, (*place, low))
        row = conn.execute(_STORED, place).fetchone()
    return int(row[0]) if row else low


_STORED: Final = "SELECT next_offset FROM metal.consumed WHERE topic = %s AND partition = %s"
_BEGIN: Final = "INSERT INTO metal.consumed (topic, partition, next_offset) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"


def _start(place: Place, known: int, low: int, high: int) -> int:
    if low <= known <= high:
        return known
    # What was trimmed belonged to runs that are over. A topic that ends before what is stored was made anew:
    # watermarks keep what is stored from being stored twice.
    _log.warning("partition_does_not_hold_what_comes_next", partition=place, stored=known, low=low, high=high)
    return low
