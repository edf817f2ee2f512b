"""A topic of one record per message, against a real broker."""

from __future__ import annotations

import io
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.sources.contract import Chunk, Context, Split
from connectors.sources.formats import avro
from connectors.sources.kafka import Kafka
from deploy.stack import Endpoints
from schemas.errors import Fatal, InvalidInput
from schemas.task.model import Changes, Column

pytestmark = pytest.mark.stack

COLUMNS = {"id": Column(type="int64"), "name": Column(type="string"), "price": Column(type="decimal", scale=2)}
SCHEMA = {
    "type": "record",
    "name": "Item",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    ],
}
Message = tuple[bytes | None, bytes | None]
Fill = Callable[..., str]


@pytest.fixture
def fill(stack: Endpoints) -> Fill:
    """Creates a topic, or adds to one, and answers with its name."""
    settings = stack.kafka.confluent()
    admin = AdminClient(settings)

    def produce(messages: Iterable[Message], topic: str | None = None, partitions: int = 1, **options: Any) -> str:
        name = topic or f"test.{uuid.uuid4().hex}"
        if topic is None:
            new = NewTopic(name, num_partitions=partitions, replication_factor=1)
            admin.create_topics([new])[name].result()
        producer = Producer(settings | {"linger.ms": 5} | options)
        if options:
            producer.init_transactions()
            producer.begin_transaction()
        for number, (key, value) in enumerate(messages):
            producer.produce(name, value, key, partition=number % partitions)
        if options:
            producer.abort_transaction()
        producer.flush()
        return name

    return produce


def source(stack: Endpoints, topic: str, context: dict[str, Any] | None = None, **options: Any) -> Any:
    told = {"base": Path(), "kafka": stack.kafka.confluent(), "primary_key": ("id",)} | (context or {})
    return Kafka.open(Kafka.Config(topic=topic, **options), COLUMNS, Context(**told))


def read(opened: Any) -> list[Chunk]:
    try:
        return [chunk for split in opened.splits() for chunk in opened.read(split, None)]
    finally:
        opened.close()


def records(count: int, start: int = 0) -> list[Message]:
    return [(None, json.dumps({"id": n, "name": f"n{n}", "more": 1}).encode()) for n in range(start, start + count)]


def test_every_partition_to_its_end(stack: Endpoints, fill: Fill) -> None:
    opened = source(stack, fill(records(3000), partitions=3), {"chunk_rows": 400})
    chunks = read(opened)
    assert sorted(row for chunk in chunks for row in chunk.frame["id"]) == list(range(3000))
    assert sum(chunk.at_end for chunk in chunks) == 3
    assert opened.unknown_columns == {"more"}


def test_the_end_is_the_one_at_listing(stack: Endpoints, fill: Fill) -> None:
    topic = fill(records(10))
    opened = source(stack, topic)
    (split,) = opened.splits()
    fill(records(10, start=10), topic)
    (chunk,) = opened.read(split, None)
    opened.close()
    assert chunk.frame["id"].to_list() == list(range(10))
    assert chunk.position == {"offset": 10}


def soon(opened: Any, split: Split, position: Any) -> Chunk:
    """What comes behind a position: a busy broker may hand it over after a reading has found nothing."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for chunk in opened.read(split, position):
            return chunk
    raise AssertionError("nothing comes")


def test_following_goes_on_where_it_stopped(stack: Endpoints, fill: Fill) -> None:
    topic = fill(records(5))
    opened = source(stack, topic, {"follow": True})
    (split,) = opened.splits()
    (first,) = opened.read(split, None)
    assert first.at_end
    assert list(opened.read(split, first.position)) == []
    fill(records(5, start=5), topic)
    second = soon(opened, split, first.position)
    assert second.frame["id"].to_list() == [5, 6, 7, 8, 9]
    (again,) = opened.read(split, first.position)
    assert again.frame.equals(second.frame)
    opened.close()


def test_following_hands_over_what_keeps_coming(stack: Endpoints, fill: Fill) -> None:
    topic = fill(records(5))
    opened = source(stack, topic, {"follow": True})
    (split,) = opened.splits()
    ended = threading.Event()

    def keep_coming() -> None:
        producer = Producer(stack.kafka.confluent() | {"linger.ms": 0})
        while not ended.is_set():
            producer.produce(topic, b'{"id": 1}')
            producer.poll(0.002)
        producer.flush(10)

    flow = threading.Thread(target=keep_coming)
    flow.start()
    try:
        chunks = opened.read(split, None)
        first, began = next(chunks), time.monotonic()
        second = next(chunks)
        assert time.monotonic() - began < 2
        assert 0 < second.frame.height < 2_000
        assert second.position["offset"] == first.position["offset"] + second.frame.height
    finally:
        ended.set()
        flow.join()
        opened.close()


def test_bad_messages_are_rejects_with_their_offset(stack: Endpoints, fill: Fill) -> None:
    bad = [b"", b"{", b'{"id":"1"}', b"\xff", b'{"id":1,"name":"a\nb"}', None]
    topic = fill([(None, b'{"id":7,\n"name":"over two lines"}'), *((b"k", value) for value in bad)])
    chunks = read(source(stack, topic))
    assert [row for chunk in chunks for row in chunk.frame.rows()] == [(7, "over two lines", None, 0)]
    assert [row[:2] for chunk in chunks for row in chunk.rejects.rows()] == [
        (1, None),
        (2, None),
        (3, "id"),
        (4, None),
        (5, None),
        (6, None),
    ]


@pytest.mark.parametrize("key", [b"5", b'{"id":5}'])
def test_a_key_without_a_value_is_a_deletion(stack: Endpoints, fill: Fill, key: bytes) -> None:
    topic = fill([(key, b'{"id":5,"name":"x"}'), (key, None), (b"no number", None), (None, None)])
    chunks = read(source(stack, topic, {"changes": Changes()}))
    rows = [row for chunk in chunks for row in chunk.frame.select("id", "name", "_line", "_pos", "_op").rows()]
    assert rows == [(5, "x", 0, 0, 0), (5, None, 1, 1, 1)]
    assert [row[0] for chunk in chunks for row in chunk.rejects.rows()] == [2, 3]


def test_what_a_transaction_took_back_is_not_read(stack: Endpoints, fill: Fill) -> None:
    topic = fill(records(2))
    fill(records(2, start=50), topic, **{"transactional.id": uuid.uuid4().hex})
    opened = source(stack, topic)
    chunks = read(opened)
    assert [row for chunk in chunks for row in chunk.frame["id"]] == [0, 1]


def encode(record: dict[str, Any], frame: bytes = b"") -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, SCHEMA, record)
    return frame + file.getvalue()


def test_bare_avro(stack: Endpoints, fill: Fill) -> None:
    good = encode({"id": 1, "name": "é", "price": Decimal("1.25")})
    topic = fill([(None, good), (None, good[:-1]), (None, good + b"x"), (None, b"")])
    chunks = read(source(stack, topic, format="avro", avro_schema=SCHEMA))
    assert [row for chunk in chunks for row in chunk.frame.rows()] == [(1, "é", Decimal("1.25"), 0)]
    assert [row[0] for chunk in chunks for row in chunk.rejects.rows()] == [1, 2, 3]


def test_avro_with_a_registry(stack: Endpoints, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def get(url: str, **_: Any) -> httpx.Response:
        asked.append(url)
        known = url.endswith("/schemas/ids/7")
        return httpx.Response(200 if known else 404, json={"schema": json.dumps(SCHEMA)})

    monkeypatch.setattr(avro.httpx, "get", get)
    good = encode({"id": 1, "name": None, "price": Decimal("1.25")}, b"\0\0\0\0\x07")
    topic = fill([(None, good), (None, good), (None, b"\0\0\0\0\x08" + good[5:]), (None, good[5:])])
    chunks = read(source(stack, topic, format="avro", registry="http://registry"))
    assert [row for chunk in chunks for row in chunk.frame["id"]] == [1, 1]
    assert [row[2] for chunk in chunks for row in chunk.rejects.rows()] == [
        "the registry has no schema 8",
        "the message does not begin with the id of a schema",
    ]
    assert asked == ["http://registry/schemas/ids/7", "http://registry/schemas/ids/8"]


def test_no_such_topic(stack: Endpoints) -> None:
    with pytest.raises(Fatal, match=r"topic none\.such cannot be read"):
        source(stack, "none.such").splits()


def test_no_broker_named(stack: Endpoints) -> None:
    with pytest.raises(InvalidInput, match="no broker is named"):
        source(stack, "t", {"kafka": {}})
