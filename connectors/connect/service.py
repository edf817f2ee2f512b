"""`metal connect`: plans runs, claims lanes, reads them in threads, keeps their leases. Several share a run."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

import connectors.sources
from connectors.connect import metrics, planning
from connectors.connect.lane import LaneReader, Signals, Surroundings
from connectors.connect.replay import run_replays
from connectors.connect.sender import Sender
from connectors.control_feed import ControlFeed
from connectors.sources.contract import Source, SourceKind
from connectors.sources.open_sources import open_source
from connectors.topics_admin import ensure_topics
from control_api.actions.transitions import fail_run
from control_api.logs import setup
from control_api.observe import serve
from control_api.store import keys, lanes
from control_api.store.db import connections, migrate, pool
from control_api.store.lanes import Lane
from control_api.store.runs import Run, get_run, open_runs
from deploy.stack.credentials import master_key
from deploy.stack.endpoints import endpoints
from deploy.stack.layout import home
from schemas.discovery import discover
from schemas.errors import InvalidInput, MetalError, Retriable
from schemas.run import REPLAY_LANE

log = structlog.get_logger()

LEASE = float(os.environ.get("METAL_LEASE_SECONDS", "10"))
LANES = 16  # threads of one process


@dataclass
class Held:
    """A lane that this process reads."""

    lane: Lane
    signals: Signals
    thread: threading.Thread


class Service:
    def __init__(self) -> None:
        self._ends = endpoints()
        self._kafka = self._ends.kafka.confluent()
        self._master = master_key(home())
        migrate(self._ends.postgres.url)
        self._pool = pool(self._ends.postgres.url, LANES + 4)
        self._store = connections(self._pool)
        self._sender = Sender(self._kafka, ensure_topics(self._kafka))
        self._kinds = discover(connectors.sources, SourceKind)
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{time.time_ns()}"
        self._held: dict[tuple[str, int], Held] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._paused: set[str] = set()
        self._seen = 0.0

    # Control.

    def on_control(self, event: dict[str, Any]) -> None:
        run, kind = event["run"], event["kind"]
        if kind == "pause":
            self._paused.add(run)
        elif kind in ("resume", "start"):
            self._paused.discard(run)
        for held in [held for key, held in list(self._held.items()) if key[0] == run]:
            if kind == "pause":
                held.signals.paused.set()
            elif kind == "resume":
                held.signals.paused.clear()
            elif kind in ("stop", "fail", "end"):
                held.signals.stop.set()
        self._wake.set()

    def ask_stop(self, *_: Any) -> None:
        self._stop.set()
        self._wake.set()

    def ready(self) -> tuple[bool, str]:
        age = time.monotonic() - self._seen
        return (age < 15, "reading" if age < 15 else f"the control store has not answered for {age:.0f} s")

    # The loop.

    def run(self) -> None:
        renewed = 0.0
        while not self._stop.is_set():
            try:
                self._reap()
                if time.monotonic() - renewed > LEASE / 4:
                    self._renew()
                    renewed = time.monotonic()
                busy = self._step()
                self._seen = time.monotonic()
            except Retriable as error:
                log.warning("waiting for the control store", error=str(error))
                busy = False
            self._sender.poll(0)
            self._wake.wait(0.02 * len(self._held) if busy else 0.25)
            self._wake.clear()
        self._leave()

    def _step(self) -> bool:
        """Plans what is not planned and claims one lane; True if there may be more."""
        with self._store() as conn:
            waiting = [run for run in open_runs(conn) if run.state == "running" and not run.planned]
        for run in waiting:
            self._plan(run)
        if len(self._held) >= LANES:
            return False
        with self._store() as conn:
            claimed = lanes.claim(conn, self._owner, LEASE, 1)
        for lane in claimed:
            self._start(lane)
        metrics.LANES.set(len(self._held))
        return bool(claimed)

    def _plan(self, run: Run) -> None:
        try:
            listed = list(planning.list_splits(run.spec, self._opener(run)))
            count, partitions = planning.choose(run.spec, [size for *_, size, _ in listed], self._sender.partitions)
            with self._store() as conn:
                lanes.plan(conn, run.run, planning.assign(listed, count), count, partitions)
        except Retriable as error:
            log.warning("a run can't be planned yet", run=run.run, error=str(error))
        except (MetalError, InvalidInput, OSError) as error:
            self._fail(run.run, error)

    def _opener(self, run: Run) -> Any:
        with self._store() as conn:
            secrets = keys.get_secrets(conn, self._master, run.run)

        def opener(table: str, source: str) -> Source:
            return open_source(run.spec, table, source, Path(run.base), secrets, self._kinds, self._kafka)

        return opener

    def _start(self, lane: Lane) -> None:
        signals = Signals()
        if lane.run in self._paused:
            signals.paused.set()
        thread = threading.Thread(target=self._read, args=(lane, signals), name=f"{lane.run}/{lane.lane}", daemon=True)
        self._held[lane.run, lane.lane] = Held(lane, signals, thread)
        thread.start()

    def _read(self, lane: Lane, signals: Signals) -> None:
        delay = 0.2
        first = lane.generation == 1
        while not signals.stop.is_set():
            try:
                self._read_once(lane, signals, first)
                return
            except Retriable as error:
                log.warning("a lane waits for something outside", run=lane.run, lane=lane.lane, error=str(error))
                first = False  # what was sent until now counts
                signals.stop.wait(delay)
                delay = min(delay * 2, 5.0)
            except Exception as error:
                self._fail(lane.run, error)
                return

    def _read_once(self, lane: Lane, signals: Signals, first: bool) -> None:
        with self._store() as conn:
            run = get_run(conn, lane.run)
            key = keys.get_key(conn, self._master, lane.run)
            # Enforces: the log is read back from our last checkpoint on; what is before it may be trimmed by now.
            now = lanes.held(conn, lane)
        if now is None:
            return
        lane = now

        def splits() -> list[lanes.PlannedSplit]:
            with self._store() as conn:
                return lanes.splits_of(conn, lane.run, lane.lane)

        def save(checkpoint: dict[str, Any], read: dict[str, Any], done: bool) -> bool:
            with self._store() as conn:
                return lanes.checkpoint(conn, lane.run, lane.lane, lane.generation, checkpoint, read, done)

        def closed() -> int:
            with self._store() as conn:
                return lanes.closed(conn, lane.run)

        def finishing() -> bool:
            with self._store() as conn:
                return lanes.finishing(conn, lane.run)

        opener = self._opener(run)
        around = Surroundings(self._kafka, self._sender, key, opener, splits, save, closed, finishing)
        reader = LaneReader(run, lane, around, signals)
        try:
            reader.claim(first)
            if lane.lane == REPLAY_LANE:
                run_replays(reader, self._store)
            elif run.mode == "snapshot":
                reader.run_snapshot()
            else:
                reader.run_continuous(lambda: self._discover(run, lane, opener))
        finally:
            reader.close()

    def _discover(self, run: Run, lane: Lane, opener: Any) -> None:
        """New files and partitions of a continuous run; the first lane looks for all of them."""
        if lane.lane != 0:
            return
        listed = list(planning.list_splits(run.spec, opener))
        with self._store() as conn:
            lanes.add_splits(conn, run.run, planning.assign(listed, run.lanes or 1))

    def _fail(self, run: str, error: BaseException) -> None:
        reason = str(error) or type(error).__name__
        log.error("a run is halted", run=run, reason=reason, exc_info=not isinstance(error, MetalError))
        while not self._stop.is_set():
            try:
                with self._store() as conn:
                    fail_run(conn, "connect", run, f"connect: {reason}")
                return
            except Retriable:
                self._stop.wait(1)

    def _reap(self) -> None:
        for key in [key for key, held in self._held.items() if not held.thread.is_alive()]:
            del self._held[key]

    def _renew(self) -> None:
        mine = [(held.lane.run, held.lane.lane, held.lane.generation) for held in self._held.values()]
        if not mine:
            return
        with self._store() as conn:
            kept = lanes.renew(conn, self._owner, LEASE, mine)
        for held in self._held.values():
            if (held.lane.run, held.lane.lane, held.lane.generation) not in kept:
                held.signals.stop.set()

    def _leave(self) -> None:
        for held in self._held.values():
            held.signals.stop.set()
        for held in self._held.values():
            held.thread.join(5)
        self._sender.flush(10)
        with self._store() as conn:
            lanes.release(conn, self._owner)
        self._pool.close()


def main() -> int:
    setup("connect")
    service = Service()
    signal.signal(signal.SIGTERM, service.ask_stop)
    signal.signal(signal.SIGINT, service.ask_stop)
    feed = ControlFeed(service._kafka, service.on_control)
    feed.start()
    server = serve(int(os.environ.get("METAL_PORT", "0")), service.ready, metrics.REGISTRY)
    try:
        service.run()
    finally:
        feed.stop()
        server.close()
    return 0
