from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from connectors.topics_admin import ensure_topics
from control_api.actions import transitions
from control_api.api.metrics import Metrics
from control_api.api.relay import Relay, producer
from control_api.store import audit, control
from control_api.store.db import Connection
from deploy.stack import Endpoints
from schemas.errors import Retriable
from schemas.events import decode
from schemas.topics import AUDIT, CONTROL
from tests.control_api.waiting import until

NewRun = Callable[..., str]


@pytest.fixture(scope="session")
def kafka(stack: Endpoints) -> dict[str, Any]:
    settings = stack.kafka.confluent()
    ensure_topics(settings)
    return settings


@contextmanager
def relaying(url: str, kafka: dict[str, Any], **more: Any) -> Iterator[Relay]:
    relay = Relay(url, kafka, Metrics(), **more)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()
        relay.join(10)


def received(kafka: dict[str, Any], topic: str, about: str) -> list[dict[str, Any]]:
    """What the topic holds under a key, from its beginning to its present end."""
    consumer = Consumer({**kafka, "group.id": "test", "enable.auto.commit": False})
    _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    consumer.assign([TopicPartition(topic, 0, 0)])
    found, at = [], 0
    while at < high:
        message = consumer.poll(5)
        assert message is not None
        assert message.error() is None
        at = (message.offset() or 0) + 1
        if message.key() == about.encode():
            found.append(decode(topic.removeprefix("metal."), message.value() or b""))
    consumer.close()
    return found


def waiting(url: str) -> int:
    with psycopg.connect(url) as own:
        row = own.execute(
            "SELECT (SELECT count(*) FROM metal.control WHERE NOT relayed)"
            " + (SELECT count(*) FROM metal.audit WHERE NOT relayed)"
        ).fetchone()
    return int(row[0]) if row else 0


def test_what_is_committed_reaches_its_topic_at_once(
    url: str, kafka: dict[str, Any], conn: Connection, new_run: NewRun
) -> None:
    run = new_run("relay-aaaaaaaa")
    with relaying(url, kafka):
        transitions.pause(conn, "me", run)
        conn.commit()
        until(lambda: waiting(url) == 0)
        transitions.resume(conn, "me", run)
        began = time.monotonic()
        conn.commit()
        until(lambda: waiting(url) == 0)
        assert time.monotonic() - began < 1
    events = received(kafka, CONTROL.name, run)
    assert [(one["kind"], one["task"], one["reason"]) for one in events] == [
        ("pause", "relay", None),
        ("resume", "relay", None),
    ]
    entries = received(kafka, AUDIT.name, run)
    assert [one["action"] for one in entries] == ["run.paused", "run.resumed"]


def test_what_is_rolled_back_reaches_no_topic(
    url: str, kafka: dict[str, Any], conn: Connection, new_run: NewRun
) -> None:
    run = new_run("relay-bbbbbbbb")
    with relaying(url, kafka):
        transitions.pause(conn, "me", run)
        conn.rollback()
        transitions.pause(conn, "me", run, "this one")
        conn.commit()
        until(lambda: waiting(url) == 0)
    assert [one["reason"] for one in received(kafka, CONTROL.name, run)] == ["this one"]


def test_a_crash_between_transaction_and_relay_loses_nothing(
    url: str, kafka: dict[str, Any], conn: Connection, new_run: NewRun
) -> None:
    run = new_run("relay-cccccccc")
    transitions.pause(conn, "me", run)
    conn.commit()  # and nobody relays
    assert received(kafka, CONTROL.name, run) == []
    with relaying(url, kafka):
        until(lambda: waiting(url) == 0)
    assert [one["kind"] for one in received(kafka, CONTROL.name, run)] == ["pause"]


def test_a_crash_between_delivery_and_mark_sends_the_same_again(
    url: str, kafka: dict[str, Any], conn: Connection, new_run: NewRun
) -> None:
    run = new_run("relay-dddddddd")
    transitions.pause(conn, "me", run)
    conn.commit()
    control.relay(conn, producer(kafka))
    conn.rollback()  # the mark is lost
    with relaying(url, kafka):
        until(lambda: waiting(url) == 0)
    events = received(kafka, CONTROL.name, run)
    assert len(events) == 2
    assert events[0] == events[1]


class Refusing:
    """A broker that does not take anything."""

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Any) -> None:
        on_delivery("no", None)

    def flush(self, timeout: float) -> int:
        return 0


class Silent(Refusing):
    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Any) -> None:
        pass

    def flush(self, timeout: float) -> int:
        return 1


@pytest.mark.parametrize("broker", [Refusing(), Silent()])
def test_what_the_broker_did_not_take_stays_waiting(conn: Connection, new_run: NewRun, broker: Refusing) -> None:
    run = new_run("relay-eeeeeeee")
    transitions.pause(conn, "me", run)
    conn.commit()
    for relay in (control.relay, audit.relay):
        with pytest.raises(Retriable, match="did not take"):
            relay(conn, broker)
        conn.rollback()
    assert conn.execute("SELECT count(*) FROM metal.control WHERE relayed").fetchone() == (0,)


def test_a_broker_that_comes_back_gets_everything(
    url: str, kafka: dict[str, Any], conn: Connection, new_run: NewRun
) -> None:
    run = new_run("relay-ffffffff")
    back = threading.Event()

    def make(settings: dict[str, Any]) -> Any:
        return producer(settings) if back.is_set() else Refusing()

    with relaying(url, kafka, make=make):
        transitions.pause(conn, "me", run)
        conn.commit()
        time.sleep(0.3)
        assert waiting(url) == 2
        back.set()
        until(lambda: waiting(url) == 0)
    assert len(received(kafka, CONTROL.name, run)) == 1


def test_one_process_relays_and_another_takes_over(
    url: str, kafka: dict[str, Any], conn: Connection, new_run: NewRun
) -> None:
    run = new_run("relay-gggggggg")
    with relaying(url, kafka) as first, relaying(url, kafka):
        for n in range(20):
            (transitions.resume if n % 2 else transitions.pause)(conn, "me", run)
            conn.commit()
            if n == 10:
                first.stop()
        until(lambda: waiting(url) == 0)
    events = received(kafka, CONTROL.name, run)
    assert [one["kind"] for one in events] == ["pause", "resume"] * 10
    assert [one["seq"] for one in events] == sorted(one["seq"] for one in events)


def test_a_relay_whose_connection_is_cut_goes_on(
    url: str, kafka: dict[str, Any], conn: Connection, new_run: NewRun
) -> None:
    run = new_run("relay-hhhhhhhh")
    with relaying(url, kafka):
        until(lambda: _holder(conn) is not None)
        conn.execute("SELECT pg_terminate_backend(%s)", (_holder(conn),))
        conn.rollback()
        transitions.pause(conn, "me", run)
        conn.commit()
        until(lambda: waiting(url) == 0)
    assert len(received(kafka, CONTROL.name, run)) == 1


def _holder(conn: Connection) -> int | None:
    row = conn.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchone()
    conn.rollback()
    return row[0] if row else None
