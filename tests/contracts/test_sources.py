"""What every source holds to, whichever it is: found by walking the package, so a new one is tested by existing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors import sources
from connectors.sources.contract import REJECTS, Chunk, Context, Source, SourceKind, frame_schema
from deploy import stack as embedded
from schemas.discovery import discover
from schemas.task.model import Changes, Column

KINDS = discover(sources, SourceKind)
COLUMNS = {"id": Column(type="int64"), "name": Column(type="string"), "at": Column(type="timestamp")}
RECORDS = 250
PLANTED = "planted-secret"


@dataclass
class Prepared:
    """A source's options and connection, with records where they point."""

    options: dict[str, Any]
    connection: dict[str, Any]
    kafka: dict[str, Any]


def records(count: int) -> list[dict[str, Any]]:
    return [{"id": n, "name": f"n{n}", "at": "2024-01-01T00:00:00Z"} for n in range(count)]


def json_lines(count: int) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records(count)).encode()


def in_csv(folder: Path, count: int, _: Any) -> Prepared:
    pl.DataFrame(records(count), schema=["id", "name", "at"], orient="row").write_csv(folder / "x.csv")
    return Prepared({"path": "x.csv"}, {}, {})


def in_jsonl(folder: Path, count: int, _: Any) -> Prepared:
    (folder / "x.jsonl").write_bytes(json_lines(count))
    return Prepared({"path": "*.jsonl"}, {}, {})


def in_parquet(folder: Path, count: int, _: Any) -> Prepared:
    schema = {"id": pl.Int64, "name": pl.String, "at": pl.String}
    pl.DataFrame(records(count), schema=schema).write_parquet(folder / "x.parquet", row_group_size=70)
    return Prepared({"path": "."}, {}, {})


def in_kafka(_: Path, count: int, ask: Callable[[str], Any]) -> Prepared:
    settings = ask("stack").kafka.confluent()
    topic = f"contract.{uuid.uuid4().hex}"
    admin = AdminClient(settings)
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])[topic].result()
    producer = Producer(settings)
    for record in records(count):
        producer.produce(topic, json.dumps(record))
    producer.flush()
    return Prepared({"topic": topic}, {}, settings)


def in_postgres(_: Path, count: int, ask: Callable[[str], Any]) -> Prepared:
    url = ask("stack").postgres.url
    table = f"contract_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(f"create table {table} (id bigint, name text, at timestamptz)".encode())
        filled = f"select g, 'n' || g, '2024-01-01 00:00+00' from generate_series(0, {count} - 1) g"
        session.execute(f"insert into {table} {filled}".encode())
    return Prepared({"table": table}, {"type": "postgres", "url": url}, {})


def in_s3(_: Path, count: int, ask: Callable[[str], Any]) -> Prepared:
    home = ask("stack_home")
    ask("stack")
    embedded.up(home, {"s3"})
    store = embedded.endpoints(home).s3
    assert store is not None
    bucket = f"contract{uuid.uuid4().hex}"
    client = boto3.client("s3", **store.boto3())
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="x", Body=json_lines(count) or b"\n")
    connection = {"endpoint": store.endpoint, "key": store.key, "secret": store.secret, "bucket": bucket}
    return Prepared({"format": "jsonl"}, connection, {})


CASES = {
    "csv": in_csv,
    "jsonl": in_jsonl,
    "parquet": in_parquet,
    "kafka": in_kafka,
    "postgres": in_postgres,
    "s3": in_s3,
}
SERVED = ("kafka", "postgres", "s3")
every_kind = pytest.mark.parametrize(
    "kind", [pytest.param(name, marks=pytest.mark.stack if name in SERVED else ()) for name in KINDS]
)
Open = Callable[..., Source]


@pytest.fixture
def opened(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens the source over as many records as asked for; again over the same ones if not asked."""
    prepared: list[Prepared] = []
    sources_open: list[Source] = []

    def open_source(count: int | None = None, columns: dict[str, Column] = COLUMNS, **context: Any) -> Source:
        if count is not None:
            prepared.append(CASES[kind](tmp_path, count, request.getfixturevalue))
        ready = prepared[-1]
        config = KINDS[kind].Config.model_validate(ready.options)
        told = {"base": tmp_path, "connection": ready.connection, "kafka": ready.kafka} | context
        sources_open.append(KINDS[kind].open(config, columns, Context(**told)))
        return sources_open[-1]

    yield open_source
    for source in sources_open:
        source.close()


def read(source: Source) -> list[Chunk]:
    return [chunk for split in source.splits() for chunk in source.read(split, None)]


def told(chunks: list[Chunk]) -> list[Any]:
    return [(one.frame.rows(), one.rejects.rows(), one.read, one.position, one.at_end) for one in chunks]


def test_every_source_is_tested() -> None:
    assert set(KINDS) == set(CASES)


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_described(kind: str) -> None:
    schema = KINDS[kind].Config.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["description"]
    assert all(option.get("description") for option in schema["properties"].values())


@every_kind
def test_configs_come_back(kind: str, opened: Open, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    options = CASES[kind](tmp_path, 1, request.getfixturevalue).options
    config = KINDS[kind].Config.model_validate(options)
    assert KINDS[kind].Config.model_validate(config.model_dump(mode="json")) == config


@every_kind
def test_every_record_once_with_the_declared_types(kind: str, opened: Open) -> None:
    chunks = read(opened(RECORDS, chunk_rows=33))
    frame = pl.concat([chunk.frame for chunk in chunks])
    assert dict(frame.schema) == frame_schema(COLUMNS, Context(base=Path()))
    assert frame["id"].to_list() == list(range(RECORDS))
    assert frame["_line"].is_sorted()
    assert frame["_line"].n_unique() == RECORDS
    assert frame["at"].null_count() == 0
    for chunk in chunks:
        assert dict(chunk.rejects.schema) == REJECTS
        assert chunk.read == chunk.frame.height + chunk.rejects.height
    assert [chunk.at_end for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@every_kind
def test_chunks_are_bounded(kind: str, opened: Open) -> None:
    assert max(chunk.read for chunk in read(opened(RECORDS, chunk_rows=10))) <= 10


@every_kind
def test_reading_twice_gives_the_same_chunks(kind: str, opened: Open) -> None:
    first = read(opened(RECORDS, chunk_rows=33))
    assert told(read(opened(chunk_rows=33))) == told(first)


@every_kind
def test_every_position_leads_to_what_follows_it(kind: str, opened: Open) -> None:
    source = opened(RECORDS, chunk_rows=60)
    (split,) = source.splits()
    chunks = list(source.read(split, None))
    for at, chunk in enumerate(chunks):
        position = json.loads(json.dumps(chunk.position))
        again = type(split)(split.name, split.size, json.loads(json.dumps(split.spec)))
        rest = list(opened(chunk_rows=60).read(again, position))
        assert told(rest) == told(chunks[at + 1 :])


@every_kind
def test_a_reading_that_is_left_can_be_taken_up(kind: str, opened: Open) -> None:
    source = opened(RECORDS, chunk_rows=60)
    (split,) = source.splits()
    reading = source.read(split, None)
    first = next(reading)
    del reading
    rest = list(source.read(split, first.position))
    assert first.read + sum(chunk.read for chunk in rest) == RECORDS


@every_kind
def test_no_records(kind: str, opened: Open) -> None:
    assert sum(chunk.read for chunk in read(opened(0))) == 0


@every_kind
def test_a_record_with_one_wrong_column_keeps_all_of_them(kind: str, opened: Open) -> None:
    columns = COLUMNS | {"name": Column(type="int64")}
    for changes in (None, Changes()) if kind != "postgres" else (None, Changes(order_by="id")):
        chunks = read(opened(3, columns=columns, changes=changes, primary_key=("id",)))
        rejects = pl.concat([chunk.rejects for chunk in chunks])
        assert sum(chunk.frame.height for chunk in chunks) == 0
        kept = [json.loads(record.replace("+00:00", "Z")) for record in rejects["_record"]]
        assert kept == records(3)
        assert rejects["_raw"].null_count() == 3
        assert rejects["_column"].to_list() == ["name"] * 3
        assert rejects["_pos"].is_sorted()
        assert rejects["_pos"].null_count() == (3 if changes is None else 0)


@every_kind
def test_changes_are_in_order(kind: str, opened: Open) -> None:
    changes = Changes.model_validate({"order_by": "id", "delete": {"column": "name", "equals": "n7"}})
    frame = pl.concat([chunk.frame for chunk in read(opened(RECORDS, changes=changes, primary_key=("id",)))])
    assert frame["_pos"].to_list() == list(range(RECORDS))
    assert frame.filter(frame["_op"] == 1)["id"].to_list() == [7]


@every_kind
def test_credentials_are_not_shown(kind: str, opened: Open, tmp_path: Path) -> None:
    source = opened(3)
    secrets = {"url": f"postgresql://u:{PLANTED}@h/d", "secret": PLANTED, "password": PLANTED}
    context = Context(base=tmp_path, connection=secrets, kafka={"sasl.password": PLANTED})
    shown = [repr(context), repr(source), str(source)]
    for split in source.splits():
        shown += [repr(split), *(repr(chunk.position) for chunk in source.read(split, None))]
    assert not any(PLANTED in one or "sasl.password" in one for one in shown)
