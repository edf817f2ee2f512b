"""`metal api`: the control API, the relay and the janitor in one process. This module only wires."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Any

import structlog
import uvicorn

from control_api.actions.context import Context
from control_api.actions.run_tables import create_tables
from control_api.api.app import create_app
from control_api.api.janitor import Janitor, retention_hours
from control_api.api.metrics import Metrics
from control_api.api.relay import Relay
from control_api.composition import components
from control_api.logs import setup
from control_api.store.db import connections, migrate, pool
from control_api.token import ensure_token
from deploy.stack.credentials import ensure_master_key, master_key
from deploy.stack.endpoints import endpoints
from schemas.errors import Retriable

log = structlog.get_logger()


def main() -> int:
    setup("api")
    hours = retention_hours()
    ensure_master_key()
    ends = endpoints()
    kafka, url = ends.kafka.confluent(), ends.postgres.url
    _prepare(url)
    metrics = Metrics()
    with ExitStack() as stack:
        store = stack.enter_context(pool(url, 8))
        ctx = Context(connections(store), components(), create_tables, master_key())
        app = create_app(ctx, ensure_token(), metrics)
        for thread in (Relay(url, kafka, metrics), Janitor(url, kafka, metrics, hours)):
            thread.start()
            stack.callback(thread.join, 5)
            stack.callback(thread.stop)
        uvicorn.Server(_config(app)).run()
    return 0


def _prepare(url: str) -> None:
    """The schema, as soon as there is a database to make it in."""
    pause = 0.2
    while True:
        try:
            migrate(url)
            return
        except Retriable as error:
            log.warning("waiting", reason=str(error), seconds=pause)
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=os.environ.get("METAL_BIND", "127.0.0.1"),
        port=int(os.environ.get("METAL_PORT", "8400")),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
