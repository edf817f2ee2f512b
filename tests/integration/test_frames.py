"""The worker's consumer receives by frames, on a real broker: all that was sent comes, of every size."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import aiokafka
import pytest
from aiokafka import client
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.stack import Endpoints
from processors.worker.app import make_app
from processors.worker.delivery import StrictConsumer
from processors.worker.frames import FrameConnection

pytestmark = pytest.mark.stack

SIZES = [0, 1, 3_000_000, 70_000, 15_000_000, 200]


def test_what_the_worker_fetches_comes_by_frames_and_whole(
    stack: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "create_conn", client.create_conn)  # what the worker installs is for its process
    topic = f"framed-{uuid4().hex[:8]}"
    settings = stack.kafka.confluent()
    admin = AdminClient(settings)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    sent = [bytes([number]) * size for number, size in enumerate(SIZES)]
    producer = Producer({**settings, "message.max.bytes": 16 << 20})
    for value in sent:
        producer.produce(topic, value, partition=0)
    assert producer.flush(20) == 0

    async def check() -> None:
        app = make_app(stack.kafka, tmp_path, 10.0, f"group-{uuid4().hex[:8]}")
        strict = app.consumer
        assert isinstance(strict, StrictConsumer)
        consumer = strict._thread._create_consumer(asyncio.get_running_loop())
        await consumer.start()
        place = aiokafka.TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        assert [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in sent] == sent
        connections = list(consumer._client._conns.values())
        assert connections
        assert all(isinstance(connection, FrameConnection) for connection in connections)
        await consumer.stop()
        strict._thread.loop.close()  # of a thread that was not started

    asyncio.run(check())
