"""A database of its own for each test, with one run in it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from connectors.review.session import open_session
from control_api.store import lanes
from control_api.store.db import migrate
from control_api.store.keys import create_key
from control_api.store.outbox import TablePlan, create_tables
from schemas import topics

MASTER = b"m" * 32
PERSON = TablePlan(
    {"id": "int64", "name": "string", "salary": "float64"},
    [("salary", "range"), ("name", "empty")],
    ["crm", "erp"],
)


@dataclass
class Store:
    """A control store and a writer's session in it."""

    url: str
    conn: psycopg.Connection[Any]

    def add_run(
        self, run: str, mode: str = "snapshot", plans: dict[str, TablePlan] | None = None, rejects: str = "{}"
    ) -> bytes:
        """A running run of a task of its own; returns its key."""
        plans = plans or {"person": PERSON}
        tables = ", ".join(f'"{name}": {{}}' for name in plans)
        spec = f'{{"task": "{run}", "mode": "{mode}", "rejects": {rejects}, "tables": {{{tables}}}}}'
        self.conn.execute(
            "INSERT INTO metal.tasks (name, version, spec, text, base, created_by) VALUES (%s, 1, %s, '', '/', 'test')",
            (run, spec),
        )
        self.conn.execute(
            "INSERT INTO metal.runs (run, task, version, mode, state, code_version, fingerprint, created_by) "
            "VALUES (%s, %s, 1, %s, 'running', '0', '', 'test')",
            (run, run, mode),
        )
        key = create_key(self.conn, MASTER, run)
        with self.conn.transaction():
            create_tables(self.conn, run, mode, plans)
            lanes.plan(self.conn, run, [], 1, 1)
        return key

    def value(self, query: str, *values: Any) -> Any:
        row = self.conn.execute(query.encode(), values).fetchone()
        assert row is not None
        return row[0]

    def rows(self, run: str, table: str = "person") -> list[tuple[Any, ...]]:
        return self.conn.execute(f'SELECT * FROM "outbox_{run}"."{table}" ORDER BY _id'.encode()).fetchall()

    def state(self, run: str) -> str:
        return str(self.value("SELECT state FROM metal.runs WHERE run = %s", run))

    def ended(self, run: str) -> bool:
        return bool(self.value("SELECT ended_at IS NOT NULL FROM metal.runs WHERE run = %s", run))


@pytest.fixture
def new_database(stack: Any) -> Iterator[Callable[[], str]]:
    """Makes empty databases with the control store's schema; they are gone after the test."""
    made: list[str] = []

    def make() -> str:
        name = f"review_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(stack.postgres.url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}".encode())
        made.append(name)
        url = psycopg.conninfo.make_conninfo(stack.postgres.url, dbname=name)
        migrate(url)
        return url

    yield make
    with psycopg.connect(stack.postgres.url, autocommit=True) as admin:
        for name in made:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def store(new_database: Callable[[], str]) -> Iterator[Store]:
    url = new_database()
    with open_session(url) as conn:
        for topic in (topics.OUTBOX.name, topics.DEADLETTER.name):
            conn.execute("INSERT INTO metal.consumed VALUES (%s, 0, 0)", (topic,))
        yield Store(url, conn)
