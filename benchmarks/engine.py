"""The engine under measurement: starts runs through the API as users do, and looks at what stands in PostgreSQL.

What always holds: a run that was started here is stopped and its prepared rows are dropped, whatever happens; a
record counts as prepared or visible when a SELECT finds it, never because the engine says so.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.memory import Peak, family, sampled
from control_api.cli import starting
from control_api.cli.client import Client
from control_api.store.outbox import table_of
from deploy import stack
from deploy.stack import Endpoints, record
from deploy.stack.layout import Layout
from deploy.stack.ports import LOOPBACK
from schemas.errors import Fatal, Retriable

T = TypeVar("T")
OVER: Final = ("prepared", "failed", "stopped")
WITHIN: Final = 120.0  # seconds in which whatever takes no time of its own has to happen


@dataclass(frozen=True)
class Snapshot:
    """One run of a snapshot task, from its start to prepared."""

    seconds: float
    rows: dict[str, int]  # of every table, counted in PostgreSQL
    report: dict[str, Any]
    peaks: dict[str, Peak] = field(repr=False)


def until(look: Callable[[], T], seconds: float, what: str, every: float = 0.02) -> T:
    """The first answer that is true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise Fatal(f"after {seconds:.0f} s still not: {what}")
        time.sleep(every)
    return found


class Engine:
    def __init__(self, client: Client, ends: Endpoints) -> None:
        self.ends = ends
        self._client = client
        self._sql = psycopg.connect(ends.postgres.url, autocommit=True)
        self._runs: list[str] = []

    def close(self) -> None:
        for run in list(self._runs):
            self.stop(run)
        self._sql.close()

    # Runs.

    def register(self, task: Path) -> dict[str, Any]:
        return starting.register(self._client, task)

    def start(self, task: dict[str, Any]) -> str:
        run = str(starting.start(self._client, task)["run"])
        self._runs.append(run)
        return run

    def stop(self, run: str) -> None:
        self._client.post(f"/runs/{run}/stop", {"reason": "benchmark", "drop_prepared": True})
        self._runs.remove(run)

    @contextmanager
    def running(self, task: Path) -> Iterator[str]:
        """A run for the block."""
        run = self.start(self.register(task))
        try:
            yield run
        finally:
            if run in self._runs:
                self.stop(run)

    def snapshot(self, path: Path, seconds: float) -> Snapshot:
        """Runs a task to prepared, from the request that starts it to its state in PostgreSQL."""
        task = self.register(path)
        self.checkpoint()
        with sampled(self.pids) as peaks:
            started = time.perf_counter()
            run = self.start(task)
            until(lambda: self.state(run) in OVER, seconds, f"run {run} is over")
            took = time.perf_counter() - started
        report = self._client.get(f"/runs/{run}")
        if report["state"] != "prepared":
            raise Fatal(f"run {run} is {report['state']}: {report['reason'] or 'no reason was given'}")
        rows = {table: self.count(run, table) for table in report["tables"]}
        self.stop(run)
        return Snapshot(took, rows, report, peaks)

    # What stands in the database.

    def query(self, text: Any, *values: Any) -> list[tuple[Any, ...]]:
        return self._sql.execute(text, values).fetchall()

    def execute(self, text: Any) -> None:
        self._sql.execute(text)

    def state(self, run: str) -> str:
        row = self.query("SELECT state, reason FROM metal.runs WHERE run = %s", run)[0]
        return str(row[0])

    def still_running(self, run: str) -> None:
        """Fails with the run's reason when it is over."""
        state, reason = self.query("SELECT state, reason FROM metal.runs WHERE run = %s", run)[0]
        if state in OVER:
            raise Fatal(f"run {run} is {state}: {reason or 'no reason was given'}")

    def count(self, run: str, table: str) -> int:
        text = psycopg.sql.SQL("SELECT count(*) FROM {}").format(table_of(run, table))
        return int(self.query(text)[0][0])

    def read(self, run: str) -> int:
        """How many records of a running run the merge has ended an epoch with."""
        text = "SELECT coalesce(sum((counts->>'read')::bigint), 0) FROM metal.counts WHERE run = %s"
        return int(self.query(text, run)[0][0])

    def checkpoint(self) -> None:
        """So that no measurement pays for the pages of the one before it."""
        if self.query("SELECT pg_has_role(current_user, 'pg_checkpoint', 'USAGE')")[0][0]:
            self.execute("CHECKPOINT")

    # Processes.

    def service(self, name: str) -> list[dict[str, Any]]:
        return [one for one in stack.status().services.get(name, []) if one.get("pid")]

    def pids(self) -> dict[int, str]:
        """The embedded stack's processes; a server of one's own is not seen."""
        return family({who.pid: child["name"] for child, who in record.read(Layout.of(None)).living()})

    def metrics(self, service: str) -> dict[str, float]:
        """Samples of all processes of a service added up, by name and labels."""
        found: dict[str, float] = {}
        for one in self.service(service):
            with urllib.request.urlopen(f"http://{LOOPBACK}:{one['port']}/metrics", timeout=5) as answer:
                text = answer.read().decode()
            for samples in text_string_to_metric_families(text):
                for sample in samples.samples:
                    name = sample.name + "".join(f",{key}={value}" for key, value in sorted(sample.labels.items()))
                    found[name] = found.get(name, 0.0) + sample.value
        return found


@contextmanager
def engine(report: Callable[[str], None]) -> Iterator[Engine]:
    """The running stack of METAL_HOME; one that was down is started, and stopped afterwards."""
    began = stack.up(report=report).changed
    try:
        with Client() as client:
            found = Engine(client, stack.endpoints())
            try:
                yield found
            finally:
                found.close()
    finally:
        if began:
            stack.down()


def local(found: Engine, service: str) -> list[dict[str, Any]]:
    """The processes of a service, which a scenario is going to do something to."""
    processes = found.service(service)
    if not processes:
        raise Retriable(f"no {service} runs in {stack.home()}: this benchmark needs the embedded stack")
    return processes
