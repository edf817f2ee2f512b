"""Faust's producer on librdkafka, on a real broker: order, offsets, bounded waiting, and how a failed process ends."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.stack import Endpoints
from processors.worker import producer as under_test
from processors.worker.app import make_app
from processors.worker.producer import MESSAGE, BulkProducer
from schemas.errors import Fatal

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
TOLD = [("kind", b"data"), ("extra", b"{}")]


def new_topic(stack: Endpoints, largest: int = 16 << 20) -> str:
    name = f"sent-{uuid4().hex[:8]}"
    topic = NewTopic(name, 2, 1, config={"max.message.bytes": str(largest)})
    admin = AdminClient(stack.kafka.confluent())
    admin.create_topics([topic])[name].result(20)
    return name


@asynccontextmanager
async def started(stack: Endpoints, folder: Path) -> AsyncIterator[BulkProducer]:
    producer = cast(BulkProducer, make_app(stack.kafka, folder, 10.0, f"group-{uuid4().hex[:8]}").producer)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def stored(stack: Endpoints, topic: str, partition: int) -> list[tuple[bytes | None, bytes | None, Any]]:
    """Everything that stands in a partition, in its order."""
    consumer = Consumer({**stack.kafka.confluent(), "group.id": "test", "enable.auto.commit": False})
    place = TopicPartition(topic, partition, 0)
    _, end = consumer.get_watermark_offsets(place, timeout=20)
    consumer.assign([place])
    found: list[tuple[bytes | None, bytes | None, Any]] = []
    while len(found) < end:
        message = consumer.poll(20)
        assert message is not None
        assert not message.error()
        found.append((message.key(), message.value(), message.headers()))
    consumer.close()
    return found


def test_messages_stand_in_the_order_of_their_sends_though_senders_have_to_wait(
    stack: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, largest = 64 << 10, 20_000
    monkeypatch.setattr(under_test, "WAITING", room)
    topic = new_topic(stack)
    sent: dict[int, list[bytes]] = {0: [], 1: []}
    most = 0

    async def sender(producer: BulkProducer, number: int) -> None:
        nonlocal most
        for turn in range(60):
            partition = turn % 2
            value = b"%d/%d/" % (number, turn) + b"x" * random.randrange(largest - 100)
            message = asyncio.ensure_future(producer.send(topic, b"run", value, partition, None, TOLD))
            sent[partition].append(value)  # tasks begin in the order in which they are made
            offset = len(sent[partition]) - 1
            told = await (await message)
            most = max(most, producer._waiting)
            assert (told.topic, told.partition, told.offset) == (topic, partition, offset)

    async def all_of_them() -> None:
        async with started(stack, tmp_path) as producer:
            await asyncio.gather(*(sender(producer, number) for number in range(16)))
            assert producer._waiting == 0

    asyncio.run(all_of_them())
    assert room - 2 * largest < most <= room, "senders filled the room, and no more"
    for partition, values in sent.items():
        found = stored(stack, topic, partition)
        assert [value for _, value, _ in found] == values
        assert all(key == b"run" and headers == TOLD for key, _, headers in found)


def test_a_message_larger_than_the_room_goes_alone(
    stack: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "WAITING", 10 * MESSAGE)
    topic = new_topic(stack)
    values = [b"a", b"b" * 200_000, b"c", None]

    async def send() -> None:
        async with started(stack, tmp_path) as producer:
            for value in values:
                await producer.send(topic, b"key", value, 1, None, None)
            # Not waited for: an orderly stop delivers what is on its way.

    asyncio.run(send())
    assert [value for _, value, _ in stored(stack, topic, 1)] == values


def test_nothing_is_sent_by_a_producer_that_is_not_started(stack: Endpoints, tmp_path: Path) -> None:
    async def send() -> None:
        async with started(stack, tmp_path) as producer:
            assert producer.started
        assert not producer.started
        await producer.send("metal.outbox", None, b"", 0, None, None)

    with pytest.raises(RuntimeError, match="before Faust has started its producer, or after it was stopped"):
        asyncio.run(send())


def test_a_batch_that_is_too_large_for_a_message_halts_its_run_and_not_the_worker(
    stack: Endpoints, tmp_path: Path
) -> None:
    topic = new_topic(stack)

    async def send() -> None:
        async with started(stack, tmp_path) as producer:
            with pytest.raises(
                Fatal, match=rf"a batch for {topic} has 17,000,000 bytes, and a message takes 16,777,216"
            ):
                await producer.send(topic, None, bytes(17_000_000), 0, None, None)
            await (await producer.send(topic, None, b"next", 0, None, None))

    asyncio.run(send())
    assert [value for _, value, _ in stored(stack, topic, 0)] == [b"next"]


FAILING = """
import asyncio, json, os, sys
from pathlib import Path
from deploy.stack.endpoints import Kafka
from processors.worker.app import make_app

async def main():
    app = make_app(Kafka(**json.loads(os.environ["METAL_TEST_KAFKA"])), Path(sys.argv[2]), 10.0, "failing")
    await app.producer.start()
    await app.producer.send(sys.argv[1], None, b"x" * 5000, 0, None, None)
    for _ in range(600):
        await app.producer.send(sys.argv[1], None, b"behind", 0, None, None)
        await asyncio.sleep(0.05)

asyncio.run(main())
"""


def test_a_process_ends_when_a_message_cannot_be_delivered(stack: Endpoints, tmp_path: Path) -> None:
    topic = new_topic(stack, largest=1000)
    done = subprocess.run(
        [sys.executable, "-c", FAILING, topic, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "METAL_TEST_KAFKA": json.dumps(asdict(stack.kafka))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 70
    assert "a message could not be delivered" in done.stdout + done.stderr
