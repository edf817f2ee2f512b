"""Continuous latency: from a record's time in a Kafka topic to its row in the review store.

`python -m benchmarks.latency --rate 10000 --seconds 30 --epoch 2` on a running stack (METAL_HOME) prints JSON. A
record carries when it was sent; the review store's database is asked, in short intervals, which records are there.
A record counts from its sending to the moment at which the question that found it was asked, so the figure is never
better than what a reader sees.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from typing import Any

import httpx
import orjson
import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg import sql

from control_api.token import read_token
from deploy.stack import Endpoints, endpoints
from schemas.errors import Retriable

TASK = """
task: latency
mode: continuous
epoch: {epoch}
partitions: {partitions}
tables:
  event:
    columns:
      id:    {{type: int64}}
      sent:  {{type: float64}}
      email: {{type: string, normalize: [trim, lower]}}
      value: {{type: float64, range: {{min: 0, outside: drop}}}}
    primary_key: {{column: id, conflicts: {{prefer: [events]}}}}
    sources: {{events: {{connector: kafka, topic: {topic}}}}}
    anonymize:
      - {{method: tokenize, columns: [email]}}
"""
SLICE = 0.02  # seconds between two bursts of the sender


def call(ends: Endpoints, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {read_token()}"}
    answer = httpx.request(method, f"{ends.api}/api/v1{path}", json=body, headers=headers, timeout=30)
    answer.raise_for_status()
    return answer.json()


def start(ends: Endpoints, epoch: float, partitions: int, topic: str) -> str:
    """Registers and starts the task; answers its run."""
    text = TASK.format(epoch=epoch, partitions=partitions, topic=topic)
    made = call(ends, "POST", "/tasks", {"text": text, "base": tempfile.gettempdir()})
    call(ends, "POST", f"/tasks/{made['task']}/versions/{made['version']}/release")
    return str(call(ends, "POST", "/runs", {"task": made["task"]})["run"])


class Sender:
    """Sends at a steady rate and knows when it sent what."""

    def __init__(self, kafka: dict[str, Any], topic: str, rate: int) -> None:
        self._producer = Producer({**kafka, "linger.ms": 5, "enable.idempotence": True})
        self._topic, self._rate, self.sent = topic, rate, 0

    def send_until(self, elapsed: float) -> None:
        """Everything that is due after so many seconds."""
        while self.sent < elapsed * self._rate:
            record = {"id": self.sent, "sent": time.time(), "email": f" P{self.sent}@Example.org", "value": 1.0}
            self._producer.produce(self._topic, orjson.dumps(record), partition=self.sent % 2)
            self.sent += 1
            if self.sent % 1000 == 0:
                self._producer.poll(0)
        self._producer.poll(0)

    def close(self) -> None:
        """Everything has arrived at the broker."""
        if self._producer.flush(30):
            raise Retriable("the broker did not take every record")


class Reader:
    """Which records have come since the last look, and how old they were then."""

    def __init__(self, url: str, run: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._table = sql.Identifier(f"outbox_{run}", "event")
        self._seen: set[int] = set()
        self._oldest = 0
        self.ages: list[float] = []

    def look(self) -> int:
        asked = time.time()
        query = sql.SQL("SELECT id, sent FROM {} WHERE id >= %s").format(self._table)
        for number, sent in self._connection.execute(query, (self._oldest,)).fetchall():
            if number not in self._seen:
                self._seen.add(number)
                self.ages.append(asked - sent)
        while self._oldest in self._seen:  # all below have come: they need not be read again
            self._seen.discard(self._oldest)
            self._oldest += 1
        return len(self.ages)


def measure(ends: Endpoints, run: str, topic: str, rate: int, seconds: float, warm: float) -> dict[str, Any]:
    sender, reader = Sender(ends.kafka.confluent(), topic, rate), Reader(ends.postgres.url, run)
    with psycopg.connect(ends.postgres.url, autocommit=True) as connection:
        table = sql.Identifier(f"outbox_{run}", "event")
        connection.execute(sql.SQL("CREATE INDEX IF NOT EXISTS latency_id ON {} (id)").format(table))
    began = looked = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        sender.send_until(elapsed)
        if time.perf_counter() - looked > 0.1:
            reader.look()
            looked = time.perf_counter()
        time.sleep(SLICE)
    sender.close()
    deadline = time.perf_counter() + 60
    while reader.look() < sender.sent and time.perf_counter() < deadline:
        time.sleep(0.05)
    ages = sorted(reader.ages[int(warm * rate) :])
    found = {f"p{p}": round(ages[min(len(ages) - 1, len(ages) * p // 100)], 3) for p in (50, 90, 99)} if ages else {}
    return {"sent": sender.sent, "arrived": len(reader.ages), **found, "max": round(ages[-1], 3) if ages else None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000, help="records a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--warm", type=float, default=5.0, help="seconds at the beginning that don't count")
    parser.add_argument("--epoch", type=float, default=2.0)
    parser.add_argument("--partitions", type=int, default=2)
    given = parser.parse_args()
    ends, topic = endpoints(), f"latency.{time.time_ns()}"
    admin = AdminClient(ends.kafka.confluent())
    for made in admin.create_topics([NewTopic(topic, 2, 1)]).values():
        made.result()
    run = start(ends, given.epoch, given.partitions, topic)
    try:
        found = measure(ends, run, topic, given.rate, given.seconds, given.warm)
    finally:
        call(ends, "POST", f"/runs/{run}/stop", {"drop_prepared": True})
        for gone in admin.delete_topics([topic]).values():
            gone.result()
    print(json.dumps({"rate": given.rate, "epoch": given.epoch, "cores": os.cpu_count(), **found}))


if __name__ == "__main__":
    main()
