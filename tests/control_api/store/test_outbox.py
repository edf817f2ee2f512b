"""Prepared rows come out as they went in, in every format, with their provenance."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import fastavro
import orjson
import polars as pl
import psutil
import pyarrow.parquet as pq
import pytest

from control_api.store import outbox, outbox_rows
from control_api.store.db import Connection
from control_api.store.outbox_export import Format, address_of, export
from schemas.errors import Fatal, NotFound
from tests.control_api.prepared import PLAN, ROWS, expected, fill, plain

pytestmark = pytest.mark.stack


@pytest.fixture
def run(conn: Connection, new_run: Callable[..., str]) -> str:
    name = new_run()
    fill(conn, name)
    return name


def exported(conn: Connection, run: str, form: Format, provenance: bool = False) -> bytes:
    return b"".join(export(address_of(conn), run, "t", form, provenance))


def from_csv(data: bytes) -> list[dict[str, Any]]:
    """Texts, with None where nothing stands between two commas."""
    frame = pl.read_csv(data, infer_schema=False)
    return frame.to_dicts()


def test_json_lines_hold_every_value(conn: Connection, run: str) -> None:
    lines = [orjson.loads(line) for line in exported(conn, run, "jsonl").splitlines()]
    assert lines == [{name: plain(value) for name, value in expected(n).items()} for n in range(3)]


def test_csv_tells_null_from_empty_and_keeps_every_value(conn: Connection, run: str) -> None:
    found = from_csv(exported(conn, run, "csv"))
    texts = [{name: plain(value) for name, value in row.items()} for row in map(expected, range(3))]
    assert found[0] == {**texts[0], "i": str(2**63 - 1), "f": "0.1", "b": "true", "n": "12345678901234567890.123456789"}
    assert found[1]["s"] == ""
    assert found[1]["f"] == "inf"
    assert set(found[2].values()) == {None}
    assert next(csv.reader(io.StringIO(exported(conn, run, "csv").decode()))) == list(PLAN.columns)


def test_csv_goes_back_into_a_table(conn: Connection, run: str) -> None:
    conn.execute(f'CREATE TABLE back AS SELECT {", ".join(PLAN.columns)} FROM "outbox_{run}".t WITH NO DATA'.encode())
    conn.execute("ALTER TABLE back ALTER y TYPE text USING encode(y, 'base64')")
    with conn.cursor() as cursor, cursor.copy("COPY back FROM STDIN (FORMAT csv, HEADER)") as copy:
        copy.write(exported(conn, run, "csv"))
    conn.execute("ALTER TABLE back ALTER y TYPE bytea USING decode(y, 'base64')")
    columns = ", ".join(name for name in PLAN.columns)
    missing = f'SELECT {columns} FROM "outbox_{run}".t EXCEPT ALL SELECT {columns} FROM back'
    assert conn.execute(missing.encode()).fetchall() == []


def test_parquet_is_typed_and_exact(conn: Connection, run: str) -> None:
    table = pq.read_table(io.BytesIO(exported(conn, run, "parquet")))
    assert table.to_pylist() == [expected(n) for n in range(3)]
    assert str(table.schema.field("n").type) == "decimal128(38, 9)"


def test_avro_is_typed_and_exact(conn: Connection, run: str) -> None:
    assert list(fastavro.reader(io.BytesIO(exported(conn, run, "avro")))) == [expected(n) for n in range(3)]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "avro"])
def test_provenance_names_source_and_rules(conn: Connection, run: str, form: Format) -> None:
    data = exported(conn, run, form, provenance=True)
    found: list[dict[str, Any]]
    if form == "jsonl":
        found = [orjson.loads(line) for line in data.splitlines()]
    elif form == "csv":
        found = from_csv(data)
        assert [row["_changes"] for row in found] == ["", "s:normalize", "f:range"]
    elif form == "parquet":
        found = pq.read_table(io.BytesIO(data)).to_pylist()
    else:
        found = [dict(row) for row in fastavro.reader(io.BytesIO(data))]  # type: ignore[arg-type]
    assert [(row["_run"], str(row["_id"]), str(row["_version"]), row["_source"]) for row in found] == [
        (run, "-1", "1", "crm"),
        (run, "0", "1", "erp"),
        (run, "1", "1", "crm"),
    ]
    if form != "csv":
        changes = [[], [{"column": "s", "rule": "normalize"}], [{"column": "f", "rule": "range"}]]
        assert [row["_changes"] for row in found] == changes


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "avro"])
def test_an_empty_table_is_a_file_too(conn: Connection, new_run: Callable[..., str], form: Format) -> None:
    run = new_run("empty-aaaaaaaa")
    fill(conn, run, rows=0)
    data = exported(conn, run, form)
    if form == "csv":
        assert data.decode().strip() == ",".join(PLAN.columns)
    elif form == "parquet":
        assert pq.read_table(io.BytesIO(data)).schema.names == list(PLAN.columns)
    elif form == "avro":
        assert list(fastavro.reader(io.BytesIO(data))) == []
    else:
        assert data == b""


def test_memory_does_not_follow_the_table(conn: Connection, new_run: Callable[..., str]) -> None:
    run = new_run("large-aaaaaaaa")
    fill(conn, run, rows=300_000)
    sum(map(len, export(address_of(conn), run, "t", "csv")))  # what is allocated once
    before = psutil.Process().memory_info().rss
    most, size, lines = 0, 0, 0
    for piece in export(address_of(conn), run, "t", "csv"):
        size += len(piece)
        lines += piece.count(b",")
        most = max(most, len(piece))
    assert size > 20_000_000
    assert most < size / 3
    assert psutil.Process().memory_info().rss - before < 40_000_000


def test_a_table_that_is_not_there_is_named(conn: Connection, run: str) -> None:
    with pytest.raises(NotFound, match="has no table u; it has t"):
        export(address_of(conn), run, "u", "csv")
    with pytest.raises(NotFound, match="no tables"):
        outbox.count(conn, "nobody", "t")


def test_how_many_are_prepared_is_told_without_a_look_at_the_rows(conn: Connection, run: str) -> None:
    """What was taken in several parts adds up; of a table that nothing is known of the rows are counted."""
    assert outbox.prepared(conn, run) == {"t": 3}
    for partition, rows in ((0, 40_000_000), (1, -7)):
        conn.execute("INSERT INTO metal.stored VALUES (%s, 't', %s, %s)", (run, partition, rows))
    assert outbox.prepared(conn, run) == {"t": 39_999_993}
    assert outbox.count(conn, run, "t") == 3


def test_pages_and_single_records(conn: Connection, run: str) -> None:
    first = outbox_rows.page(conn, run, "t", 2)
    second = outbox_rows.page(conn, run, "t", 2, cursor=first[-1]["_id"])
    assert [row["_id"] for row in first + second] == [-1, 0, 1]
    assert first[0] == {"_id": -1, **{name: plain(value) for name, value in ROWS[0].items()}}
    assert first[1]["f"] == "Infinity"
    found = outbox_rows.record(conn, run, "t", 0)
    assert (found["_run"], found["_source"], found["_changes"]) == (run, "erp", [{"column": "s", "rule": "normalize"}])
    with pytest.raises(NotFound, match="no record 7"):
        outbox_rows.record(conn, run, "t", 7)


def test_indexing_twice_and_dropping_twice(conn: Connection, run: str) -> None:
    outbox.index_tables(conn, run)
    outbox.index_tables(conn, run)
    assert outbox.count(conn, run, "t") == 3
    outbox.drop_tables(conn, run)
    outbox.drop_tables(conn, run)
    assert outbox.plans_of(conn, run) == {}


def test_what_was_only_added_is_not_vacuumed(conn: Connection, new_run: Callable[..., str]) -> None:
    run = new_run("live-aaaaaaaa", mode="continuous")
    outbox.create_tables(conn, run, "continuous", {"t": PLAN})
    row = conn.execute("SELECT reloptions FROM pg_class WHERE oid = %s::regclass", (f'"outbox_{run}".t',)).fetchone()
    assert row == (["autovacuum_vacuum_insert_threshold=-1"],)  # nothing else: for rows that were replaced it is


def test_a_name_too_long_for_a_schema_is_refused() -> None:
    assert len(outbox.schema_of("r" * 56)) == 63
    with pytest.raises(Fatal, match="too long"):
        outbox.schema_of("r" * 57)
