"""Keys of runs, and the secrets a run was started with: sealed under the master key, gone when the run ends.

The key that signs certificates stands beside them and stays: who holds a certificate checks it long after the run.

A key is bound to its run: the row of one run does not open as that of another. Nothing here shows a key in
its `repr`, in an error or in a log line.
"""

from __future__ import annotations

from typing import Final, Protocol

import orjson
from psycopg.rows import tuple_row
from psycopg_pool import ConnectionPool

from control_api.store.db import Connection, Connections, connections
from processors.privacy.certificates.signature import public_key
from schemas.errors import Conflict, Fatal, NotFound
from schemas.sealing import new_key, seal, unseal

_KEY: Final = "key/"
_SECRETS: Final = "secrets/"
_SIGNING: Final = "signing"


class KeyStore(Protocol):
    """Where keys of runs are. One that was destroyed is nowhere any more."""

    def create(self, run: str) -> bytes: ...

    def get(self, run: str) -> bytes: ...

    def destroy(self, run: str) -> None: ...


class PostgresKeyStore:
    """Keys in the control store. Each call is its own transaction; inside one, use the functions below."""

    def __init__(self, source: ConnectionPool[Connection] | Connections, master: bytes) -> None:
        self._connections = connections(source)
        self._master = master

    def create(self, run: str) -> bytes:
        with self._connections() as conn:
            return create_key(conn, self._master, run)

    def get(self, run: str) -> bytes:
        with self._connections() as conn:
            return get_key(conn, self._master, run)

    def destroy(self, run: str) -> None:
        with self._connections() as conn:
            destroy_key(conn, run)

    def __repr__(self) -> str:
        return "PostgresKeyStore()"


def create_key(conn: Connection, master: bytes, run: str) -> bytes:
    key = new_key()
    made = conn.execute(
        "INSERT INTO metal.run_keys (run, sealed) VALUES (%s, %s) ON CONFLICT (run) DO NOTHING",
        (run, seal(master, key, _KEY + run)),
    )
    if made.rowcount == 0:
        raise Conflict(f"run {run!r} has a key already")
    return key


def get_key(conn: Connection, master: bytes, run: str) -> bytes:
    sealed = _sealed(conn, "SELECT sealed FROM metal.run_keys WHERE run = %s", run)
    if sealed is None:
        raise NotFound(f"run {run!r} has no key: it has ended, or there is no such run")
    return unseal(master, sealed, _KEY + run)


def destroy_key(conn: Connection, run: str) -> None:
    """Destroys key and secrets of a run; once that is committed, nothing sealed can be read."""
    conn.execute("DELETE FROM metal.run_keys WHERE run = %s", (run,))
    conn.execute("DELETE FROM metal.run_secrets WHERE run = %s", (run,))


def put_secrets(conn: Connection, master: bytes, run: str, secrets: dict[str, str]) -> None:
    conn.execute(
        "INSERT INTO metal.run_secrets (run, sealed) VALUES (%s, %s)"
        " ON CONFLICT (run) DO UPDATE SET sealed = excluded.sealed",
        (run, seal(master, orjson.dumps(secrets), _SECRETS + run)),
    )


def get_secrets(conn: Connection, master: bytes, run: str) -> dict[str, str]:
    """Empty for a run that was started with none, and after its end."""
    sealed = _sealed(conn, "SELECT sealed FROM metal.run_secrets WHERE run = %s", run)
    if sealed is None:
        return {}
    found: dict[str, str] = orjson.loads(unseal(master, sealed, _SECRETS + run))
    return found


def signing_key(conn: Connection, master: bytes) -> bytes:
    """The secret that signs certificates; made when it is first asked for, by whoever comes first."""
    made = new_key()
    conn.execute(
        "INSERT INTO metal.signing_key (sealed, public) VALUES (%s, %s) ON CONFLICT (one) DO NOTHING",
        (seal(master, made, _SIGNING), public_key(made)),
    )
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("SELECT sealed FROM metal.signing_key").fetchone()
    assert row is not None  # noqa: S101  # it was inserted, or was there
    try:
        return unseal(master, bytes(row[0]), _SIGNING)
    except Fatal as error:
        raise Fatal("the key that signs certificates was sealed under another master key") from error


def _sealed(conn: Connection, statement: str, run: str) -> bytes | None:
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(statement.encode(), (run,)).fetchone()
    return None if row is None else bytes(row[0])
