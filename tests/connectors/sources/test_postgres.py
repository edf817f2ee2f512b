"""Tables and queries of a real database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connectors.sources import postgres
from connectors.sources.contract import Chunk, Context
from connectors.sources.postgres import Postgres
from deploy.stack import Endpoints
from schemas.errors import Fatal, InvalidInput, Retriable
from schemas.task.model import Changes, Column

pytestmark = pytest.mark.stack

COLUMNS = {
    "id": Column(type="int64"),
    "price": Column(type="decimal", scale=2),
    "at": Column(type="timestamp"),
    "day": Column(type="date"),
    "tags": Column(type="json"),
    "code": Column(type="string"),
    "ok": Column(type="bool"),
    "raw": Column(type="binary"),
    "weight": Column(type="float64"),
}
DEFINITION = (
    "id int, price numeric, at timestamptz, day date, tags text[], code uuid, ok bool, raw bytea, weight real, x text"
)


@pytest.fixture
def table(stack: Endpoints) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex}"
    run(stack, f"create table {name} ({DEFINITION})")
    yield name
    run(stack, f"drop table {name}")


def run(stack: Endpoints, statement: str) -> None:
    with psycopg.connect(stack.postgres.url, autocommit=True) as session:
        session.execute(statement.encode())


def source(stack: Endpoints, context: dict[str, Any] | None = None, **options: Any) -> Any:
    told = {"base": Path(), "connection": {"url": stack.postgres.url}} | (context or {})
    return Postgres.open(Postgres.Config(**options), COLUMNS, Context(**told))


def read(opened: Any) -> list[Chunk]:
    return [chunk for split in opened.splits() for chunk in opened.read(split, None)]


def test_every_type(stack: Endpoints, table: str) -> None:
    code = "c0ffee00-0000-4000-8000-000000000000"
    values = f"7, 1.20, '2024-02-29 12:00+02', '2024-02-29', array['a'], '{code}', true, '\\x00ff', 0.5, 'unknown'"
    run(stack, f"insert into {table} values ({values})")
    run(stack, f"insert into {table} (x) values ('all else is null')")
    opened = source(stack, table=f"public.{table}")
    (chunk,) = read(opened)
    first = chunk.frame.row(0, named=True)
    assert (first["id"], str(first["price"]), first["at"].isoformat()) == (7, "1.20", "2024-02-29T10:00:00+00:00")
    assert (first["day"].isoformat(), first["tags"], first["code"]) == ("2024-02-29", '["a"]', code)
    assert (first["ok"], first["raw"], first["weight"]) == (True, b"\x00\xff", 0.5)
    assert chunk.frame.row(1) == (None,) * 9 + (2,)
    assert opened.unknown_columns == {"x"}


def test_values_that_do_not_fit_are_rejected_alone(stack: Endpoints, table: str) -> None:
    run(stack, f"insert into {table} (id, price) values (1, 1.005), (2, 'NaN'), (3, 1.50)")
    run(stack, f"insert into {table} (id, at, weight) values (4, 'infinity', 1), (5, now(), 'NaN')")
    (chunk,) = read(source(stack, table=table))
    assert chunk.frame["id"].to_list() == [3]
    assert [row[:2] for row in chunk.rejects.rows()] == [(1, "price"), (2, "price"), (4, "at"), (5, "weight")]


def test_positions_hold_across_splits(stack: Endpoints, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(stack, f"insert into {table} (id) select generate_series(1, 5000)")
    monkeypatch.setattr(postgres, "SPLIT_PAGES", 8)
    opened = source(stack, {"chunk_rows": 300}, table=table)
    splits = opened.splits()
    assert len(splits) > 1
    whole = [chunk for split in splits for chunk in opened.read(split, None)]
    assert [row for chunk in whole for row in chunk.frame["id"]] == list(range(1, 5001))
    chunks = list(opened.read(splits[0], None))
    for at, chunk in enumerate(chunks):
        rest = list(source(stack, {"chunk_rows": 300}, table=table).read(splits[0], chunk.position))
        assert [one.frame.rows() for one in rest] == [one.frame.rows() for one in chunks[at + 1 :]]


def test_a_query_has_an_order_too(stack: Endpoints, table: str) -> None:
    run(stack, f"insert into {table} (id) select generate_series(1, 500)")
    opened = source(stack, {"chunk_rows": 100}, query=f"select id as id from {table} where id > 250")
    first = read(opened)
    run(stack, f"update {table} set price = 1 where id % 2 = 0")  # moves rows about
    assert [one.frame.rows() for one in read(opened)] == [one.frame.rows() for one in first]
    assert sum(one.read for one in first) == 250


@pytest.mark.parametrize("change", ["delete from {} where id = 1", "update {} set id = 0 where id = 9"])
def test_a_change_meanwhile_is_noticed(stack: Endpoints, table: str, change: str) -> None:
    run(stack, f"insert into {table} (id) select generate_series(1, 20)")
    opened = source(stack, {"chunk_rows": 10}, table=table)
    (split,) = opened.splits()
    position = next(iter(opened.read(split, None))).position
    run(stack, change.format(table))
    with pytest.raises(Fatal, match="changed while it was read"):
        list(opened.read(split, position))


def test_nothing_there(stack: Endpoints, table: str) -> None:
    assert read(source(stack, table=table)) == []


def test_mistakes_are_told_without_values(stack: Endpoints, table: str) -> None:
    with pytest.raises(Fatal, match='relation "none" does not exist'):
        source(stack, table="none").splits()
    with pytest.raises(Fatal, match="the query cannot be read"):
        read(source(stack, query="selec"))
    with pytest.raises(Fatal) as caught:
        read(source(stack, query="select 'planted'::int as id"))
    assert "planted" not in str(caught.value)
    with pytest.raises(InvalidInput, match="none of the declared columns"):
        read(source(stack, query="select 1 as other"))
    with pytest.raises(InvalidInput, match="set order_by"):
        source(stack, {"changes": Changes()}, table=table)


@pytest.mark.parametrize("url", ["no address: secret", "postgresql://metal:secret@127.0.0.1:1/metal"])
def test_a_wrong_address_shows_no_password(stack: Endpoints, url: str) -> None:
    with pytest.raises((InvalidInput, Retriable)) as caught:
        source(stack, {"connection": {"url": url}}, table="t").splits()
    assert "secret" not in str(caught.value)
