"""After a run has ended nothing raw of it can be found: planted values are looked for wherever bytes are kept."""

from __future__ import annotations

import json
import os
import random
import struct
import uuid
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import boto3
import httpx
import polars as pl
import psycopg
import pyarrow as pa
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from deploy import stack
from deploy.stack.endpoints import S3
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
      remark: {type: string}
    primary_key: {column: id, conflicts: {prefer: [s]}}
    sources: {s: SUBJECTS}
    anonymize:
      - {method: suppress, columns: [name, remark]}
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

OWN = "planted"  # the user's own bucket, where raw data is at home
SUBJECTS = {
    "file": "{connector: jsonl, path: subject.jsonl}",
    "bucket": "{connector: s3, connection: lake, prefix: subject, format: jsonl}",
}
LAKE = """
connections:
  lake: {type: s3, bucket: planted, endpoint: {env: LAKE_URL}, key: {env: LAKE_KEY}, secret: {env: LAKE_SECRET}}
"""


def _task(folder: Path, name: str, kept_in: str = "file") -> Path:
    path = folder / f"{name}.task.yaml"
    text = TASK.replace("task: planted", f"task: {name}").replace("SUBJECTS", SUBJECTS[kept_in])
    path.write_text(text + (LAKE if kept_in == "bucket" else ""))
    return path


def _plant(folder: Path, records: int, bad: int) -> list[bytes]:
    """Writes the sources; answers what must not be found, in every form that it could stand in."""
    draw, planted = random.Random(77), []
    with (folder / "subject.jsonl").open("w") as subjects, (folder / "line.jsonl").open("w") as lines:
        for n in range(records):
            texts = [f"PLANTED-{uuid.UUID(int=draw.getrandbits(128))}" for _ in range(4)]
            salary = draw.uniform(1e5, 9e5)
            planted += [text.encode() for text in texts]
            planted += [struct.pack("<d", salary), repr(salary).encode()]
            record: dict[str, Any] = {"id": n, "name": texts[0], "email": texts[1], "phone": texts[2], "salary": salary}
            record["remark"] = texts[3]  # goes no further than the rules
            record["age"] = f"{texts[0]} years" if n < bad else n % 90
            subjects.write(json.dumps(record) + "\n")
            lines.write(json.dumps({"number": texts[2]}) + "\n")
    return planted


def _topics(rig: Rig) -> Iterator[tuple[str, bytes]]:
    """Everything that stands in any topic, also unpacked where it is Arrow; a partition that can't be read is told."""
    settings = {"group.id": "scan", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    consumer = Consumer({**rig.ends.kafka.confluent(), **settings, "enable.partition.eof": True})
    topics = consumer.list_topics(timeout=10).topics
    left = {(name, number) for name, topic in topics.items() for number in topic.partitions}
    consumer.assign([TopicPartition(*at, OFFSET_BEGINNING) for at in left])
    while left:
        message = consumer.poll(30)
        if message is None:
            raise TimeoutError(f"not read to their ends: {sorted(left)}")
        error = message.error()
        if error is None:
            whole = b"".join([message.key() or b"", message.value() or b"", repr(message.headers()).encode()])
            place = f"{message.topic()}/{message.partition()}@{message.offset()}"
            yield place, whole + _unpacked(message.value() or b"")
        elif error.code() == KafkaError._PARTITION_EOF:
            left.discard((message.topic(), message.partition()))
        else:
            raise RuntimeError(str(error))
    consumer.close()


def _unpacked(value: bytes) -> bytes:
    try:
        with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
            table = reader.read_all()
    except (pa.ArrowInvalid, OSError):
        return b""
    return b"".join(buffer.to_pybytes() for c in table.columns for k in c.chunks for buffer in k.buffers() if buffer)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Everything below a folder but what the user's own bucket holds; tables as text."""
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and place.parts[:3] != ("s3", "buckets", OWN):
            try:
                yield str(place), _written(path)
            except FileNotFoundError:
                continue
            if path.suffix == ".parquet":
                yield str(place), pl.read_parquet(path).write_csv().encode()


def _opened(rig: Rig) -> Iterator[tuple[str, bytes]]:
    """Files that a process of the stack has open outside of its home, deleted ones too: what was spilled."""
    for service in stack.status(rig.home).services:
        for pid in rig.pids(service):
            for one in Path(f"/proc/{pid}/fd").glob("*"):
                try:
                    target = str(one.readlink())
                    if one.is_file() and not target.startswith((str(rig.home), "/usr", "/lib", "/proc", "/sys")):
                        yield f"{service}: {target}", one.read_bytes()
                except OSError:  # closed meanwhile
                    continue


def _objects(store: S3) -> Iterator[tuple[str, bytes]]:
    """What the object store tells of every bucket but the user's own: names, contents, descriptions."""
    client = boto3.client("s3", **store.boto3())
    for bucket in (one["Name"] for one in client.list_buckets()["Buckets"]):
        if bucket == OWN:
            continue
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for one in page.get("Contents", []):
                found = client.get_object(Bucket=bucket, Key=one["Key"])
                told = f"{one['Key']} {found['Metadata']} ".encode()
                yield f"s3://{bucket}/{one['Key']}", told + found["Body"].read()


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


def _everywhere(rig: Rig, run: str) -> Iterator[tuple[str, bytes]]:
    yield from _topics(rig)
    yield from _files(rig.home)
    yield from _files(rig.temporary)
    yield from _opened(rig)
    yield from _tables(rig)
    yield from _pages(rig, run)


def _found(scan: Iterable[tuple[str, bytes]], planted: list[bytes]) -> list[str]:
    """Where planted values stand: the texts by the prefix that they share, and some of the numbers."""
    numbers = [value for value in planted if not value.startswith(b"PLANTED-")]
    return [
        place for place, content in scan if b"PLANTED-" in content or any(number in content for number in numbers[:6])
    ]


def _serve(rig: Rig, folder: Path) -> dict[str, str]:
    """The subjects as an object; answers what the task's environment names."""
    store = stack.ensure("s3", rig.home)
    client = boto3.client("s3", **store.boto3())
    if OWN not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=OWN)
    client.upload_file(str(folder / "subject.jsonl"), OWN, "subject.jsonl")
    return {"LAKE_URL": store.endpoint, "LAKE_KEY": store.key, "LAKE_SECRET": store.secret}


def _publish(rig: Rig, run: str, folder: Path, *forms: str) -> Path:
    """What leaves by the command line: exports and a certificate, with what they may have left behind."""
    folder.mkdir()
    for form in forms:
        named = ("--table", "subject", "--format", form, "-o", str(folder / f"subject.{form}"))
        done = rig.metal("outbox", "export", run, *named)
        assert done.returncode == 0, done.stderr
    done = rig.metal("certificate", "show", run, "--table", "subject", "-o", str(folder / "certificate.json"))
    assert done.returncode == 0, done.stderr
    assert len(list(folder.iterdir())) == len(forms) + 1
    return folder


@pytest.mark.parametrize(("bad", "kept_in"), [(0, "file"), (20, "bucket")])
def test_planted_values_are_nowhere(rig: Rig, tmp_path: Path, bad: int, kept_in: str) -> None:
    planted = _plant(tmp_path, 2_000, bad)
    secrets = _serve(rig, tmp_path) if kept_in == "bucket" else {}
    run = rig.start(_task(tmp_path, "planted", kept_in), secrets)
    rig.wait(run)
    assert len(rig.rows(run, "subject")) == 2_000 - bad
    forms = ("csv", "parquet") if kept_in == "bucket" else ("jsonl",)
    published = _publish(rig, run, tmp_path / "published", *forms)
    if bad:
        assert rig.metal("deadletter", "discard", run, "--all").returncode == 0
    ended = "SELECT 1 FROM metal.runs WHERE run = %s AND ended_at IS NOT NULL"
    eventually(lambda: rig.query(ended, run), 30, "the run has ended")
    assert not rig.query("SELECT 1 FROM metal.run_keys WHERE run = %s", run)
    with psycopg.connect(rig.ends.postgres.url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    places = [_everywhere(rig, run), _files(published)]
    if kept_in == "bucket":
        places.append(_objects(stack.ensure("s3", rig.home)))
    assert _found(chain(*places), planted) == []


def test_the_scan_finds_what_is_there(rig: Rig, tmp_path: Path) -> None:
    """The same scan over a task that anonymizes nothing."""
    planted = _plant(tmp_path, 100, 0)
    path = _task(tmp_path, "open")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "method" not in line and "anonymize" not in line))
    for _ in range(5):  # the janitor comes every ten seconds and takes what is stored
        run = rig.start(path)
        rig.wait(run)
        found = _found(_everywhere(rig, run), planted)
        if sent := [place for place in found if place.startswith("metal.outbox/")]:
            break
        rig.call("POST", f"/runs/{run}/stop", {"drop_prepared": True})
    assert sent
    assert any(place.startswith('"outbox_open') for place in found)
    assert any(place.startswith("postgres/") for place in found)
    published = _publish(rig, run, tmp_path / "published", "parquet")
    assert {*_found(_files(published), planted)} == {"subject.parquet"}
    rig.call("POST", f"/runs/{run}/stop", {"drop_prepared": True})


def test_the_scan_finds_what_was_left_in_the_object_store(rig: Rig) -> None:
    """Put there by hand, in another bucket than the user's own, and beside it a temporary file."""
    store = stack.ensure("s3", rig.home)
    client = boto3.client("s3", **store.boto3())
    client.create_bucket(Bucket="left")
    client.put_object(Bucket="left", Key="behind", Body=b"PLANTED-1")
    client.put_object(Bucket="left", Key="described", Body=b"", Metadata={"whose": "PLANTED-2"})
    (rig.temporary / "spilled").write_bytes(b"of PLANTED-3")
    try:
        assert _found(_objects(store), []) == ["s3://left/behind", "s3://left/described"]
        kept = [place for place in _found(_files(rig.home), []) if place.startswith("s3/")]
        assert kept == ["s3/buckets/left/behind"]
        assert _found(_files(rig.temporary), []) == ["spilled"]
    finally:
        (rig.temporary / "spilled").unlink()
        for key in ("behind", "described"):
            client.delete_object(Bucket="left", Key=key)
        client.delete_bucket(Bucket="left")


def test_the_scan_reads_what_was_opened_and_deleted(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rig, "pids", lambda _, service: [os.getpid()] if service == "worker" else [])
    with (tmp_path / "spilled").open("wb+") as file:
        file.write(b"PLANTED-x")
        file.flush()
        (tmp_path / "spilled").unlink()
        assert any("spilled" in place and b"PLANTED-" in content for place, content in _opened(rig))
