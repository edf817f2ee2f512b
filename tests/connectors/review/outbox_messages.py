"""Writes what the engine's last stage writes: batches and ends in metal.outbox, letters in metal.deadletter.

`Outbox` makes messages, numbered per producer; `Topic` keeps them as partitions would, for tests without a broker, and
`send` puts them into a real one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl
from confluent_kafka import Producer

from connectors.review.messages import Chunk, Message, Place
from schemas import batch, events, headers, topics
from schemas.headers import Header
from schemas.sealing import seal

TOTAL = 8


@dataclass
class Outbox:
    """What the producers of one run send."""

    run: str
    partitions: int = 1
    task: str = "people"
    total: int = TOTAL
    numbers: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def producers(self) -> list[str]:
        return [f"merge/{q}" for q in range(self.partitions)]

    def partition(self, q: int) -> int:
        return topics.partition_of(self.run, q, self.total)

    def data(
        self, table: str, frame: pl.DataFrame, q: int = 0, epoch: int = 0, append: bool = True
    ) -> tuple[Header, bytes]:
        extra = {"append": True} if append else {}
        return self._header("data", table, q, epoch, frame.height, extra), batch.encode(frame)

    def end(
        self,
        counts: dict[str, dict[str, Any]] | None = None,
        q: int = 0,
        epoch: int = headers.FINAL,
        final: bool = True,
    ) -> tuple[Header, bytes]:
        extra = {"counts": counts or {}, "final": final, "producers": self.producers, "at": 0.0}
        return self._header("end", "", q, epoch, 0, extra), b""

    def _header(self, kind: Any, table: str, q: int, epoch: int, rows: int, extra: dict[str, Any]) -> Header:
        producer = f"merge/{q}"
        self.numbers[producer] += 1
        return Header(kind, self.task, self.run, table, producer, 0, self.numbers[producer], epoch, rows, extra)

    def letters(self, key: bytes, records: list[dict[str, Any]], table: str = "person", first: int = 0) -> bytes:
        made = []
        for n, record in enumerate(records, first):
            name = f"{self.run}/{table}/lane/1/{n}"
            position = orjson.dumps({"source": "crm", "split": "crm.csv", "line": n}).decode()
            made.append(
                {
                    "id": name,
                    "rule": "range",
                    "column": "age",
                    "reason": "is out of range",
                    "position": position,
                    "sealed": seal(key, orjson.dumps(record), name),
                }
            )
        event = {"run": self.run, "task": self.task, "table": table, "stage": "rules", "letters": made}
        return events.encode("dead_letters", event)


def counts(read: int, prepared: int, merged: int = 0, rejected: int = 0, **dropped: int) -> dict[str, Any]:
    return {"read": read, "merged": merged, "rejected": rejected, "dropped": dropped, "prepared": prepared}


@dataclass
class Log:
    """One partition as a list of messages."""

    place: Place = (topics.OUTBOX.name, 0)
    messages: list[Message] = field(default_factory=list)

    def add(self, *sent: tuple[Header, bytes]) -> None:
        for header, payload in sent:
            self.messages.append(Message(len(self.messages), payload, header, 0.0))

    def add_letters(self, payload: bytes) -> None:
        self.messages.append(Message(len(self.messages), payload, None, 0.0))

    def chunk(self, start: int = 0, end: int | None = None) -> Chunk:
        return Chunk(self.place, start, self.messages[start:end])


def send(kafka: dict[str, Any], sent: list[tuple[int, tuple[Header, bytes]]]) -> None:
    """Puts messages into metal.outbox: pairs of a partition and a message."""
    producer = Producer({**kafka, "linger.ms": 5, "message.max.bytes": topics.MAX_MESSAGE, "acks": "all"})
    for partition, (header, payload) in sent:
        while True:
            try:
                producer.produce(
                    topics.OUTBOX.name,
                    payload,
                    header.run.encode(),
                    partition,
                    headers=headers.encode(header),
                )
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def send_letters(kafka: dict[str, Any], run: str, partition: int, payload: bytes) -> None:
    producer = Producer({**kafka, "acks": "all"})
    producer.produce(topics.DEADLETTER.name, payload, run.encode(), partition)
    assert producer.flush(60) == 0
