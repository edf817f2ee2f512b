from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from control_api.store import keys, retention
from control_api.store.db import Connection
from control_api.store.keys import PostgresKeyStore
from schemas.errors import Conflict, Fatal, NotFound, Retriable
from schemas.sealing import seal

MASTER = bytes(range(32))
NewRun = Callable[..., str]


@pytest.fixture
def store(url: str, conn: Connection, new_run: NewRun) -> PostgresKeyStore:
    new_run()
    new_run("small-bbbbbbbb")
    conn.execute("DELETE FROM metal.run_keys")
    conn.commit()
    return PostgresKeyStore(lambda: psycopg.connect(url), MASTER)


def test_a_key_is_found_until_it_is_destroyed(store: PostgresKeyStore) -> None:
    key = store.create("small-aaaaaaaa")
    assert len(key) == 32
    assert store.get("small-aaaaaaaa") == key
    assert store.create("small-bbbbbbbb") != key
    with pytest.raises(Conflict):
        store.create("small-aaaaaaaa")
    store.destroy("small-aaaaaaaa")
    store.destroy("small-aaaaaaaa")
    with pytest.raises(NotFound, match="has no key"):
        store.get("small-aaaaaaaa")
    assert store.get("small-bbbbbbbb")


def test_a_row_of_one_run_does_not_open_as_that_of_another(store: PostgresKeyStore, conn: Connection) -> None:
    store.create("small-aaaaaaaa")
    store.create("small-bbbbbbbb")
    conn.execute(
        "UPDATE metal.run_keys SET sealed = (SELECT sealed FROM metal.run_keys WHERE run = 'small-bbbbbbbb')"
        " WHERE run = 'small-aaaaaaaa'"
    )
    conn.commit()
    with pytest.raises(Fatal):
        store.get("small-aaaaaaaa")


def test_another_master_key_opens_nothing(store: PostgresKeyStore, url: str) -> None:
    store.create("small-aaaaaaaa")
    with pytest.raises(Fatal):
        PostgresKeyStore(lambda: psycopg.connect(url), bytes(32)).get("small-aaaaaaaa")


def test_neither_key_shows(store: PostgresKeyStore, conn: Connection) -> None:
    key = store.create("small-aaaaaaaa")
    for text in (repr(store), str(vars(store).keys())):
        assert key.hex() not in text
        assert MASTER.hex() not in text
    row = conn.execute("SELECT sealed FROM metal.run_keys").fetchone()
    assert row is not None
    assert key not in row[0]


def test_secrets_go_with_the_key(conn: Connection, new_run: NewRun) -> None:
    run = new_run()
    assert keys.get_secrets(conn, MASTER, run) == {}
    keys.put_secrets(conn, MASTER, run, {"DB": "planted-secret"})
    assert keys.get_secrets(conn, MASTER, run) == {"DB": "planted-secret"}
    row = conn.execute("SELECT sealed FROM metal.run_secrets").fetchone()
    assert row is not None
    assert b"planted-secret" not in row[0]
    keys.destroy_key(conn, run)
    assert keys.get_secrets(conn, MASTER, run) == {}


def test_no_file_of_the_database_keeps_a_destroyed_key(url: str, conn: Connection, new_run: NewRun) -> None:
    run = new_run()
    mark = b"planted" * 4
    conn.execute("UPDATE metal.run_keys SET sealed = %s WHERE run = %s", (seal(MASTER, mark) + mark, run))
    conn.commit()
    keys.destroy_key(conn, run)
    conn.commit()
    with psycopg.connect(url, autocommit=True) as own:
        assert retention.scrub_keys(own)
        own.execute("CHECKPOINT")
        row = own.execute("SELECT pg_relation_size('metal.run_keys')").fetchone()
    assert row == (0,)


def test_a_key_store_whose_database_is_away_is_retriable() -> None:
    store = PostgresKeyStore(lambda: psycopg.connect("postgresql://x@127.0.0.1:1/none"), MASTER)
    with pytest.raises(Retriable):
        store.get("small-aaaaaaaa")
