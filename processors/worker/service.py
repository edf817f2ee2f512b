"""`metal worker`: one process that runs every stage. Wires the Faust app to the control store and the control topic."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import faust
import structlog
import uvloop

import processors.anonymize
import processors.rules
from connectors.control_feed import ControlFeed
from connectors.failpoints import hit
from connectors.topics_admin import ensure_topics
from control_api.actions import privacy
from control_api.actions.transitions import fail_run
from control_api.logs import setup
from control_api.observe import serve
from control_api.store import keys
from control_api.store.db import connections, migrate, pool
from control_api.store.runs import get_run
from deploy.stack.credentials import master_key
from deploy.stack.endpoints import endpoints
from deploy.stack.layout import home
from processors.aggregate.noisy import Draw
from processors.anonymize.protocol import Anonymization
from processors.plan import compile_task
from processors.privacy.differential.noise import Answer, Question
from processors.rules.protocol import Rule
from processors.worker import metrics
from processors.worker.app import Worker, make_app
from processors.worker.directory import Directory, RunInfo
from processors.worker.watch import Watch
from schemas.discovery import discover
from schemas.errors import Conflict, Fatal, NotFound, Retriable
from schemas.placement import fingerprint

log = structlog.get_logger()

DEADLINE = 8.0  # seconds that an orderly stop may take
SESSION = float(os.environ.get("METAL_SESSION_SECONDS", "10"))


def _check_extension() -> None:
    """The pure Python path of Faust acknowledges events of an old generation unprocessed."""
    try:
        import faust._cython.streams
    except ImportError as error:
        raise Fatal("Faust's compiled extension is missing: install the wheel that the lock file names") from error
    log.debug("faust extension", module=faust._cython.streams.__name__)


class Service:
    def __init__(self) -> None:
        self._ends = endpoints()
        self._kafka = self._ends.kafka.confluent()
        self._master = master_key(home())
        migrate(self._ends.postgres.url)
        self._pool = pool(self._ends.postgres.url, 4)
        self._store = connections(self._pool)
        self._fingerprint = fingerprint()
        self._rules = discover(processors.rules, Rule)
        self._methods = discover(processors.anonymize, Anonymization)
        partitions = ensure_topics(self._kafka)
        folder = home() / "state" / os.environ.get("METAL_INSTANCE", "0")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.app = make_app(self._ends.kafka, folder, SESSION)
        self.directory = Directory(self._load, self._fail)
        self.worker = Worker(self.app, self.directory, partitions, folder)
        self.directory.on_gone = self.worker.gone
        self.watch = Watch(self.worker)
        self._loop: asyncio.AbstractEventLoop | None = None

    def _load(self, run: str) -> RunInfo | None:
        with self._store() as conn:
            found = get_run(conn, run)
            if not found.open or found.partitions is None or found.lanes is None:
                return None
            if found.fingerprint != self._fingerprint:
                raise Fatal("this worker places keys differently than the one that began the run: run it again")
            key = keys.get_key(conn, self._master, run)
        waived = frozenset(found.waiver.tables) if found.waiver else frozenset()
        if waived:
            log.warning("a run without anonymization", run=run, tables=sorted(waived))
        plan = compile_task(found.carried_out, self._rules, self._methods)
        ask = partial(self._ask, run)
        return RunInfo(run, found.task, found.mode, found.partitions, found.lanes, plan, key, ask, waived)

    def _ask(
        self, run: str, table: str, budget: str, questions: Mapping[str, Question], draw: Draw
    ) -> Mapping[str, Answer]:
        """Enforces: what was drawn is durable, and charged for, before anybody sees it; after a crash it is the same.

        Waits for the control store here: an epoch that is being closed can't be begun again by its own worker.
        """
        while True:
            try:
                answers = privacy.tell(self._store, run, table, budget, questions, draw)
            except Retriable as error:
                log.warning("waiting for the control store", error=str(error))
                time.sleep(0.5)
            except (Conflict, NotFound) as error:
                raise Fatal(f"table {table}: {error}") from error
            else:
                hit("worker.after_answer")
                return answers

    def _fail(self, run: str, reason: str) -> None:
        while True:
            try:
                with self._store() as conn:
                    fail_run(conn, "worker", run, reason)
                return
            except Retriable as error:
                log.warning("waiting for the control store", error=str(error))
                time.sleep(0.5)

    def on_control(self, event: dict[str, Any]) -> None:
        if event["kind"] in ("stop", "fail", "end") and self._loop is not None:
            self._loop.call_soon_threadsafe(self.directory.gone, event["run"])

    async def on_started(self) -> None:
        self._loop = asyncio.get_running_loop()
        ControlFeed(self._kafka, self.on_control).start()
        await self.watch.run()


def main() -> int:
    setup("worker")
    _check_extension()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    service = Service()
    serve(int(os.environ.get("METAL_PORT", "0")), service.watch.ready, metrics.REGISTRY)
    service.app.task(service.on_started)
    worker = faust.Worker(service.app, loglevel="WARNING", override_logging=False, redirect_stdouts=False, quiet=True)
    worker.spinner = None  # it writes escape sequences between the lines of the log
    gc.collect()
    gc.freeze()  # what was imported and wired stays for good: no collection has to look through it again
    # Faust waits without bound for what never comes; acknowledgement follows durability, so leaving late is no gain.
    service.app.stopping = _deadline_on_stop(service)
    worker.execute_from_commandline()
    return 0


def _leave(service: Service) -> None:
    log.warning("Faust has not stopped in time; left with the local state synced")
    for table in service.worker.tables.values():
        table.store.leave()
    os._exit(0)


def _deadline_on_stop(service: Service) -> Callable[[], None]:
    last = threading.Timer(DEADLINE, _leave, (service,))
    last.daemon = True  # it must not be what the process waits for

    def stopping() -> None:
        if not last.is_alive():
            last.start()

    return stopping
