"""After a run has ended nothing raw of it can be found: planted values are looked for wherever bytes are kept."""

from __future__ import annotations

import json
import os
import random
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition

from deploy import stack
from deploy.stack.ports import LOOPBACK
from tests.faults.rig import Rig, eventually

pytestmark = pytest.mark.stack

TASK = """
task: planted
partitions: 3
rejects: {share: 1, count: 1000}
tables:
  subject:
    columns:
      id:     {type: int64}
      name:   {type: string}
      email:  {type: string, normalize: [trim]}
      phone:  {type: string, references: line.number}
      salary: {type: float64}
      age:    {type: int64}
    primary_key: {column: id, conflicts: {prefer: [s]}}
    sources: {s: {connector: jsonl, path: subject.jsonl}}
    anonymize:
      - {method: suppress, columns: [name]}
      - {method: tokenize, columns: [email]}
      - {method: mask, columns: {phone: {keep_last: 2}}}
      - {method: perturb, columns: {salary: {relative: 0.05}}}
      - {method: generalize, columns: {age: {step: 10}}}
  line:
    columns: {number: {type: string}}
    primary_key: {column: number, conflicts: drop_all}
    sources: {s: {connector: jsonl, path: line.jsonl}}
    anonymize:
      - {method: suppress, columns: [number]}
  alone:
    from: {subject: {}}
    transform:
      - aggregate: {by: [subject.name, subject.email], columns: {n: "count(*)", salary: "max(subject.salary)"}}
"""


def _plant(folder: Path, records: int, bad: int) -> list[bytes]:
    """Writes the sources; answers what must not be found, in every form that it could stand in."""
    draw, planted = random.Random(77), []
    with (folder / "subject.jsonl").open("w") as subjects, (folder / "line.jsonl").open("w") as lines:
        for n in range(records):
            texts = [f"PLANTED-{uuid.UUID(int=draw.getrandbits(128))}" for _ in range(3)]
            salary = draw.uniform(1e5, 9e5)
            planted += [text.encode() for text in texts]
            planted += [struct.pack("<d", salary), repr(salary).encode()]
            record: dict[str, Any] = {"id": n, "name": texts[0], "email": texts[1], "phone": texts[2], "salary": salary}
            record["age"] = f"{texts[0]} years" if n < bad else n % 90
            subjects.write(json.dumps(record) + "\n")
            lines.write(json.dumps({"number": texts[2]}) + "\n")
    return planted


def _topics(rig: Rig) -> Iterator[tuple[str, bytes]]:
    """Everything that stands in any topic, also unpacked where it is Arrow."""
    consumer = Consumer(
        {**rig.ends.kafka.confluent(), "group.id": "scan", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    for topic in consumer.list_topics(timeout=10).topics.values():
        for partition in topic.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic.topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic.topic, partition, low)] if high > low else [])
            at = low
            while at < high and (message := consumer.poll(5)) is not None and message.error() is None:
                at = message.offset() + 1
                whole = b"".join([message.key() or b"", message.value() or b"", repr(message.headers()).encode()])
                yield f"{topic.topic}/{partition}@{message.offset()}", whole + _unpacked(message.value() or b"")
    consumer.close()


def _unpacked(value: bytes) -> bytes:
    try:
        with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
            table = reader.read_all()
    except (pa.ArrowInvalid, OSError):
        return b""
    return b"".join(buffer.to_pybytes() for c in table.columns for k in c.chunks for buffer in k.buffers() if buffer)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            try:
                yield str(path.relative_to(folder)), _written(path)
            except FileNotFoundError:
                continue


def _written(path: Path) -> bytes:
    """What a file holds, without the holes: a broker lays out 10 MiB for an index of a few entries."""
    if not hasattr(os, "SEEK_DATA"):
        return path.read_bytes()
    parts, at = [], 0
    with path.open("rb") as file:
        while True:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing behind it
                return b"".join(parts)
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            parts.append(os.pread(file.fileno(), end - at, at))
            at = end


def _tables(rig: Rig) -> Iterator[tuple[str, bytes]]:
    listed = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    for row in rig.query(listed):
        name = f'"{row["schemaname"]}"."{row["tablename"]}"'
        for found in rig.query(f"SELECT t::text AS row FROM {name} t"):
            yield name, found["row"].encode()


def _pages(rig: Rig, run: str) -> Iterator[tuple[str, bytes]]:
    """What the services tell of themselves, and the API of a run."""
    for service, instances in stack.status(rig.home).services.items():
        for one in instances:
            if service in ("api", "connect", "worker", "review"):
                answer = httpx.get(f"http://{LOOPBACK}:{one['port']}/metrics")
                assert "metal_" in answer.text, service
                yield f"{service}/metrics", answer.content
    for path in (f"/runs/{run}", f"/runs/{run}/deadletters", "/audit"):
        yield path, json.dumps(rig.call("GET", path)).encode()


def _found(rig: Rig, run: str, planted: list[bytes]) -> list[str]:
    """Where planted values stand: the texts by the prefix that they share, and some of the numbers."""
    numbers = [value for value in planted if not value.startswith(b"PLANTED-")]
    found = []
    for scan in (_topics(rig), _files(rig.home), _tables(rig), _pages(rig, run)):
        for place, content in scan:
            if b"PLANTED-" in content or any(number in content for number in numbers[:6]):
                found.append(place)
    return found


@pytest.mark.parametrize("bad", [0, 20])
def test_planted_values_are_nowhere(rig: Rig, tmp_path: Path, bad: int) -> None:
    planted = _plant(tmp_path, 2_000, bad)
    path = tmp_path / "planted.task.yaml"
    path.write_text(TASK)
    run = rig.start(path)
    rig.wait(run)
    assert len(rig.rows(run, "subject")) == 2_000 - bad
    if bad:
        assert rig.metal("deadletter", "discard", run, "--all").returncode == 0
    ended = "SELECT 1 FROM metal.runs WHERE run = %s AND ended_at IS NOT NULL"
    eventually(lambda: rig.query(ended, run), 30, "the run has ended")
    assert not rig.query("SELECT 1 FROM metal.run_keys WHERE run = %s", run)
    with psycopg.connect(rig.ends.postgres.url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    assert _found(rig, run, planted) == []


def test_the_scan_finds_what_is_there(rig: Rig, tmp_path: Path) -> None:
    """The same scan over a task that anonymizes nothing."""
    planted = _plant(tmp_path, 100, 0)
    path = tmp_path / "open.task.yaml"
    head = "\n".join(line for line in TASK.splitlines() if "method" not in line and "anonymize" not in line)
    path.write_text(head.replace("task: planted", "task: open"))
    run = rig.start(path)
    rig.wait(run)
    found = _found(rig, run, planted)
    assert any(place.startswith("metal.outbox/") for place in found)
    assert any(place.startswith('"outbox_open') for place in found)
    assert any(place.startswith("postgres/") for place in found)
    rig.call("POST", f"/runs/{run}/stop", {"drop_prepared": True})
