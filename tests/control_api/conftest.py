"""A control store of each test's own, in the session's PostgreSQL, and the API on it as a server on a port."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from psycopg.types.json import Json

from control_api.actions.context import Context
from control_api.actions.run_tables import create_tables
from control_api.api.app import create_app
from control_api.api.metrics import Metrics
from control_api.composition import components
from control_api.store import tasks
from control_api.store.db import Connection, connections, migrate
from control_api.store.keys import create_key
from deploy.stack import Endpoints
from schemas.task.model import Task

Serve = Callable[[FastAPI], AbstractContextManager[httpx.Client]]
TOKEN = "a-token-of-the-tests"

TEXT = """task: small
description: {about}
tables:
  thing:
    columns:
      id: {{type: int64}}
      name: {{type: string, empty: {{replace: nothing}}}}
    primary_key: {{column: id, conflicts: drop_all}}
    sources:
      file: {{connector: csv, path: things.csv}}
"""


def spec(task: str = "small", mode: str = "snapshot") -> Task:
    column = {"type": "int64"}
    return Task.model_validate({"task": task, "mode": mode, "tables": {"thing": {"columns": {"id": column}}}})


@pytest.fixture(scope="session")
def template(stack: Endpoints) -> str:
    """A database with the schema, to be copied."""
    name = f"template_{secrets.token_hex(6)}"
    with psycopg.connect(stack.postgres.url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}".encode())
    migrate(_database(stack, name))
    return name


@pytest.fixture
def url(stack: Endpoints, template: str) -> Iterator[str]:
    """A database of this test alone, with the schema in it."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(stack.postgres.url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield _database(stack, name)
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _database(stack: Endpoints, name: str) -> str:
    return urlunsplit(urlsplit(stack.postgres.url)._replace(path=f"/{name}"))


@pytest.fixture
def conn(url: str) -> Iterator[Connection]:
    """One transaction at a time: a test commits what others are to see."""
    with psycopg.connect(url) as found:
        yield found


@pytest.fixture
def ctx(url: str) -> Context:
    def connect() -> Connection:
        return psycopg.connect(url)

    return Context(connections(connect), components(), create_tables, bytes(32))


@pytest.fixture
def new_run(conn: Connection) -> Callable[..., str]:
    """Makes a run that is running, with a key."""

    def make(run: str = "small-aaaaaaaa", state: str = "running", mode: str = "snapshot") -> str:
        task = run.rpartition("-")[0]
        conn.execute(
            "INSERT INTO metal.tasks (name, version, spec, text, base, released_at, created_by)"
            " VALUES (%s, 1, %s, '', '/', now(), 'test') ON CONFLICT DO NOTHING",
            (task, Json(tasks.dump(spec(task, mode)))),
        )
        conn.execute(
            "INSERT INTO metal.runs (run, task, version, mode, state, code_version, fingerprint, created_by)"
            " VALUES (%s, %s, 1, %s, %s, '1', 'f', 'test')",
            (run, task, mode, state),
        )
        create_key(conn, bytes(32), run)
        conn.commit()
        return run

    return make


@pytest.fixture
def task_text() -> Callable[..., str]:
    def make(about: str = "Things.") -> str:
        return TEXT.format(about=about)

    return make


@pytest.fixture
def base(tmp_path: Path) -> str:
    """A directory with the source of the task."""
    (tmp_path / "things.csv").write_text("id,name\n1,a\n")
    return str(tmp_path)


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture
def app(ctx: Context) -> FastAPI:
    return create_app(ctx, TOKEN, Metrics())


@pytest.fixture
def serve() -> Serve:
    """Serves an app; the client has no token, and its paths begin at the root."""

    @contextmanager
    def running(app: FastAPI) -> Iterator[httpx.Client]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            while not server.started:
                time.sleep(0.01)
            with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=20) as client:
                yield client
            server.should_exit = True
            thread.join()

    return running


@pytest.fixture
def served(serve: Serve, app: FastAPI) -> Iterator[str]:
    """The address of the API."""
    with serve(app) as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture
def api(served: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Metal-Actor": "tester"}
    with httpx.Client(base_url=f"{served}/api/v1", headers=headers, timeout=20) as client:
        yield client
