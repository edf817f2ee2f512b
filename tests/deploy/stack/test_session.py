"""The stack of the session: what others rely on."""

from __future__ import annotations

import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.stack import Endpoints

pytestmark = pytest.mark.stack


def test_kafka_takes_and_gives_a_large_message(stack: Endpoints) -> None:
    settings = stack.kafka.confluent()
    admin = AdminClient(settings)
    admin.create_topics([NewTopic("session.large", 1)])["session.large"].result(10)
    body = bytes(15 << 20)
    producer = Producer({**settings, "message.max.bytes": 16 << 20, "enable.idempotence": True})
    producer.produce("session.large", body)
    assert producer.flush(20) == 0
    consumer = Consumer({**settings, "group.id": "session", "auto.offset.reset": "earliest"})
    consumer.subscribe(["session.large"])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert message.value() == body


def test_postgres_keeps_what_it_acknowledged(stack: Endpoints) -> None:
    with psycopg.connect(stack.postgres.url) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()
            for name in ("fsync", "synchronous_commit", "wal_level", "server_encoding", "jit")
        }
    assert shown == {
        "fsync": ("on",),
        "synchronous_commit": ("on",),
        "wal_level": ("minimal",),
        "server_encoding": ("UTF8",),
        "jit": ("off",),
    }
