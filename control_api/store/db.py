"""Connections to the control store, and its schema.

A database that does not answer surfaces as `Retriable`, whatever psycopg calls it. This module knows no table
but the one that records which schema stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import resources
from typing import Any, Final

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from schemas.errors import Fatal, Retriable

Connection = psycopg.Connection[Any]
Connections = Callable[[], AbstractContextManager[Connection]]

VERSION: Final = 2  # raised by a change of schema.sql that earlier code cannot live with
_MIGRATION_LOCK: Final = 0x6D65_0001
_CONNECT_SECONDS: Final = 10


@contextmanager
def retriable() -> Iterator[None]:
    """Whatever says "the database is not there, or gave way to another transaction" becomes `Retriable`."""
    try:
        yield
    except (psycopg.OperationalError, PoolTimeout, PoolClosed) as error:
        raise Retriable(f"the control store does not answer: {_first_line(error)}") from error


@contextmanager
def connect(url: str, *, autocommit: bool = False) -> Iterator[Connection]:
    """One connection, in one transaction unless `autocommit`."""
    with retriable(), psycopg.connect(url, autocommit=autocommit, connect_timeout=_CONNECT_SECONDS) as conn:
        yield conn


def pool(url: str, size: int = 4) -> ConnectionPool[Connection]:
    """A pool that comes up even while the database is down; connections are checked before they are given."""
    return ConnectionPool(
        url,
        min_size=1,
        max_size=size,
        open=True,
        timeout=_CONNECT_SECONDS,
        reconnect_timeout=3,  # then whoever asks tries anew: the pauses between tries double meanwhile
        check=ConnectionPool.check_connection,
        kwargs={"connect_timeout": _CONNECT_SECONDS},
    )


def connections(source: ConnectionPool[Connection] | Connections) -> Connections:
    """Connections of a pool, each one transaction, with `Retriable` for a database that is away."""
    give: Connections = source.connection if isinstance(source, ConnectionPool) else source

    @contextmanager
    def one() -> Iterator[Connection]:
        with retriable(), give() as conn:
            yield conn

    return one


def migrate(url: str) -> None:
    """Brings the schema up to this code's. Any number of processes may call it at once."""
    text = resources.files("control_api.store").joinpath("schema.sql").read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    with connect(url) as conn:
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        version, applied = _present(conn)
        if version > VERSION:
            raise Fatal(f"the control store has schema version {version}; this code knows {VERSION}: update mETaL")
        if applied == digest:
            return
        conn.execute(text.encode())
        conn.execute(
            "INSERT INTO metal.schema_version (version, digest) VALUES (%s, %s)"
            " ON CONFLICT (version, digest) DO UPDATE SET at = clock_timestamp()",
            (VERSION, digest),
        )


def _present(conn: Connection) -> tuple[int, str]:
    with conn.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        exists = cursor.execute("SELECT to_regclass('metal.schema_version')").fetchone()
        if exists is None or exists[0] is None:
            return 0, ""
        row = cursor.execute("SELECT version, digest FROM metal.schema_version ORDER BY at DESC LIMIT 1").fetchone()
    return (row[0], row[1]) if row else (0, "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
