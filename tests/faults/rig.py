"""A stack of the test's own: starts it, runs tasks on it, reads what they prepared.

What a test asserts comes from outside of the engine: rows and states from PostgreSQL, counts from the API.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from control_api.token import read_token
from deploy import stack
from tests.oracle import Oracle, differences

REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "control_api.cli.main")
QUICK = {
    "METAL_SESSION_SECONDS": "4",
    "METAL_LEASE_SECONDS": "3",
    "METAL_PARTITIONS": "8",
    "METAL_RESTART_SECONDS": "1",
}
OVER = ("prepared", "failed", "stopped")
T = TypeVar("T")


def eventually(look: Callable[[], T], seconds: float, what: str, every: float = 0.1) -> T:
    """The first answer that is true; the test fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(every)
    return found


@dataclass
class Rig:
    """A home with its services."""

    home: Path
    command: tuple[str, ...] = COMMAND
    environment: dict[str, str] = field(default_factory=lambda: dict(QUICK))

    @property
    def temporary(self) -> Path:
        """Where the stack's processes and the command line put temporary files."""
        return self.home.with_name(f"{self.home.name}.tmp")

    def up(self) -> None:
        self.temporary.mkdir(parents=True, exist_ok=True)
        os.environ.update({**self.environment, "TMPDIR": str(self.temporary)})
        stack.up(self.home, command=self.command)
        self.ready()

    def ready(self, seconds: float = 120) -> None:
        """Until everything that should run runs and is ready."""
        try:
            eventually(lambda: not self._unready(), seconds, "all services ready", every=0.2)
        except AssertionError as late:
            raise AssertionError("\n".join([self.told(), str(late), *map(str, self._unready())])) from None

    def _unready(self) -> list[tuple[str, dict[str, Any]]]:
        services = stack.status(self.home).services
        fine = ("ready", "external", "idle")
        return [(name, one) for name, each in services.items() for one in each if one["state"] not in fine]

    def down(self) -> None:
        stack.down(self.home, purge=True)

    def scale(self, **counts: int) -> None:
        stack.scale(counts, self.home)

    def pids(self, service: str) -> list[int]:
        return [one["pid"] for one in stack.status(self.home).services.get(service, []) if one["pid"]]

    @property
    def ends(self) -> stack.Endpoints:
        return stack.endpoints(self.home)

    def metal(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """The command line, as a user types it."""
        return subprocess.run(
            [*self.command, *arguments],
            env={**os.environ, "METAL_HOME": str(self.home)},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    # What the API does.

    def call(self, method: str, path: str, body: Any = None, seconds: float = 60) -> Any:
        """An answer of the API; goes on asking while it does not answer or says 503."""

        def once() -> httpx.Response | None:
            try:
                headers = {"Authorization": f"Bearer {read_token(self.home)}", "X-Metal-Actor": "rig"}
                answer = httpx.request(method, f"{self.ends.api}/api/v1{path}", json=body, headers=headers, timeout=30)
            except (httpx.TransportError, httpx.UnsupportedProtocol):
                return None
            return None if answer.status_code == 503 else answer

        answer = eventually(once, seconds, f"{method} {path} is answered")
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def start(self, task: Path, secrets: Mapping[str, str] | None = None) -> str:
        """Registers, releases and starts a task file; answers the run."""
        body = {"text": task.read_text(), "base": str(task.parent.resolve()), "file": str(task)}
        made = self.call("POST", "/tasks", body)
        self.call("POST", f"/tasks/{made['task']}/versions/{made['version']}/release")
        begun = self.call("POST", "/runs", {"task": made["task"], "secrets": dict(secrets or {})})
        return str(begun["run"])

    def report(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/runs/{run}")
        return found

    def wait(self, run: str, seconds: float = 120, state: str = "prepared") -> dict[str, Any]:
        """Until the run is over; fails unless it ended in `state`."""
        eventually(lambda: self.state(run) in OVER, seconds, f"run {run} over", every=0.05)
        report = self.report(run)
        assert report["state"] == state, f"{run}: {report['state']}, {report['reason']}"
        return report

    # What stands in the database.

    def query(self, text: str | sql.Composed, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.ends.postgres.url, row_factory=dict_row) as connection:
            return connection.execute(text, values).fetchall()  # type: ignore[arg-type]  # the tests' own texts

    def state(self, run: str) -> str | None:
        """The run's state, or None while the database does not answer."""
        try:
            return str(self.query("SELECT state FROM metal.runs WHERE run = %s", run)[0]["state"])
        except (psycopg.OperationalError, psycopg.errors.AdminShutdown):
            return None

    def rows(self, run: str, table: str) -> list[dict[str, Any]]:
        """What is prepared, without the review store's own columns."""
        where = sql.Identifier(f"outbox_{run}", table)
        found = self.query(sql.SQL("SELECT * FROM {}").format(where))
        return [{name: value for name, value in row.items() if not name.startswith("_")} for row in found]

    # What must hold.

    def wrong(self, run: str, oracle: Oracle) -> list[str]:
        """How the prepared rows and the counts differ from the oracle's."""
        found = [wrong for table in oracle.tables for wrong in differences(oracle, table, self.rows(run, table))]
        return found + wrong_counts(self.report(run), oracle)

    def check(self, run: str, oracle: Oracle) -> None:
        wrong = self.wrong(run, oracle)
        assert not wrong, f"{run}: " + "\n".join(wrong)

    def told(self, lines: int = 30) -> str:
        """The end of what each process has logged, the workers last."""
        logs = sorted((self.home / "logs").glob("*.log"))
        return "\n".join(f"--- {log.name}\n" + "\n".join(_tail(log, lines)) for log in logs)

    def settles(self, run: str, make: Callable[[], Oracle], seconds: float = 60) -> None:
        """A continuous run whose sources are quiet comes to what the oracle says, and stays there."""
        oracle, wrong = make(), [""]
        deadline = time.monotonic() + seconds
        while wrong:
            wrong = self.wrong(run, oracle)
            assert not wrong or time.monotonic() < deadline, "\n".join([self.told(), f"{run}: ", *wrong])
            time.sleep(0.2)
        time.sleep(1.5)
        self.check(run, oracle)


def _tail(log: Path, lines: int) -> list[str]:
    return [line[:400] for line in log.read_text(errors="replace").splitlines()[-lines:]]


def wrong_counts(report: Mapping[str, Any], oracle: Oracle) -> list[str]:
    """Where the run's counts break conservation or differ from the oracle's."""
    found = []
    for name, want in oracle.tables.items():
        got = report["tables"][name]
        if got["prepared"] != want.prepared:
            found.append(f"{name}: prepared is {got['prepared']}, the oracle has {want.prepared}")
        if "from" in oracle.task["tables"][name]:
            continue
        accounted = got["prepared"] + got["merged"] + got["rejected"] + sum(got["dropped"].values())
        if got["read"] != accounted:
            found.append(f"{name}: read {got['read']}, accounted for {accounted}")
        for what in ("read", "merged", "rejected"):
            if got[what] != getattr(want, what):
                found.append(f"{name}: {what} is {got[what]}, the oracle has {getattr(want, what)}")
        if _by_rule(got["dropped"]) != _by_rule(want.dropped):
            found.append(f"{name}: dropped {got['dropped']}, the oracle has {dict(want.dropped)}")
    return found


def _by_rule(dropped: Mapping[str, int]) -> dict[str, int]:
    """Which of several dangling references a record falls for is not fixed: only their sum counts."""
    found: dict[str, int] = {}
    for rule, count in dropped.items():
        name = "references" if rule.endswith(".references") else rule
        found[name] = found.get(name, 0) + count
    return {name: count for name, count in found.items() if count}


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """The one JSON document of a command that went well."""
    assert done.returncode == 0, f"{done.args}: {done.returncode}\n{done.stderr[-3000:]}"
    return json.loads(done.stdout)
