from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from control_api.store import db
from control_api.store.db import Connection
from deploy.stack import Endpoints
from schemas.errors import Fatal, Retriable


def test_many_processes_may_migrate_at_once(url: str, conn: Connection) -> None:
    conn.execute("DROP SCHEMA metal CASCADE")
    conn.commit()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(db.migrate, [url] * 6))
    rows = conn.execute("SELECT version, count(*) FROM metal.schema_version GROUP BY version").fetchall()
    assert rows == [(db.VERSION, 1)]


def test_a_newer_schema_is_refused(url: str, conn: Connection) -> None:
    conn.execute("INSERT INTO metal.schema_version (version, digest) VALUES (%s, 'later')", (db.VERSION + 1,))
    conn.commit()
    with pytest.raises(Fatal, match="update mETaL"):
        db.migrate(url)


def test_a_database_that_is_away_is_retriable(stack: Endpoints) -> None:
    with pytest.raises(Retriable, match="does not answer"), db.connect("postgresql://x@127.0.0.1:1/none"):
        pass


def test_a_deadlock_is_retriable() -> None:
    with pytest.raises(Retriable), db.retriable():
        raise psycopg.errors.DeadlockDetected("deadlock detected")


def test_the_pool_survives_a_lost_connection(url: str) -> None:
    with db.pool(url, 2) as pool:
        give = db.connections(pool)
        with give() as conn:
            row = conn.execute("SELECT pg_backend_pid()").fetchone()
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", row)
        with give() as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)


def test_what_a_failed_block_wrote_is_gone(url: str) -> None:
    with db.pool(url, 1) as pool:
        give = db.connections(pool)
        with pytest.raises(psycopg.errors.UniqueViolation), give() as conn:
            _twice(conn)
        with give() as conn:
            assert conn.execute("SELECT count(*) FROM metal.idempotency").fetchone() == (0,)


def _twice(conn: Connection) -> None:
    for _ in range(2):
        conn.execute("INSERT INTO metal.idempotency (actor, key, request, answer) VALUES ('a', 'b', 'c', '{}')")
