"""Waits for a run, with a progress bar on a terminal: what it reads, table by table, and what became of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from control_api.cli.client import Client
from control_api.cli.output import note, plain, table
from schemas.errors import Retriable

OVER: Final = ("prepared", "failed", "stopped")
_PATIENCE: Final = 30.0  # seconds that the API may be away


class Bars(Protocol):
    def update(self, event: dict[str, Any]) -> None: ...


def wait(client: Client, run: str, quiet: bool = False) -> dict[str, Any]:
    """The run when it is prepared, failed or stopped. An API that is started again meanwhile is waited for."""
    with _bars(quiet) as bars:
        for event in _patient(client, run):
            bars.update(event)
            if event["state"] in OVER:
                break
    found: dict[str, Any] = client.get(f"/runs/{run}")
    return found


def _patient(client: Client, run: str) -> Iterator[dict[str, Any]]:
    heard = time.monotonic()
    while True:
        try:
            for event in client.events(f"/runs/{run}/events"):
                heard = time.monotonic()
                yield event
            return
        except Retriable:
            if time.monotonic() - heard > _PATIENCE:
                raise
            time.sleep(0.5)


def counts(run: dict[str, Any]) -> Any:
    """A run's counts as a table."""
    headings = ("table", "read", "prepared", "merged", "rejected", "dropped")
    rows = [
        (name, one["read"], one["prepared"], one["merged"], one["rejected"], _dropped(one["dropped"]))
        for name, one in run["tables"].items()
    ]
    return table(headings, rows)


def _dropped(rules: dict[str, int]) -> str:
    return ", ".join(f"{count:,} by {rule}" for rule, count in rules.items() if count) or "0"


@contextmanager
def _bars(quiet: bool) -> Iterator[Bars]:
    if quiet:
        yield _Silent()
    elif plain(sys.stderr):
        yield _Lines()
    else:
        with _Terminal() as bars:
            yield bars


class _Silent:
    def update(self, event: dict[str, Any]) -> None:
        """Nothing is shown."""


class _Lines:
    """A line for each new state, where nothing may be drawn over."""

    def __init__(self) -> None:
        self._state = ""

    def update(self, event: dict[str, Any]) -> None:
        if event["state"] != self._state:
            self._state = event["state"]
            note(f"{event['run']}: {self._state}")


class _Terminal:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Terminal:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, event: dict[str, Any]) -> None:
        for name, one in event["tables"].items():
            read = max(one["read"], event.get("progress", {}).get(name, 0))
            settled = one["prepared"] + one["merged"] + one["rejected"] + sum(one["dropped"].values())
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(name, total=None, said="")
            said = f"{read:,} read, {one['prepared']:,} prepared"
            self._progress.update(self._tasks[name], total=max(read, settled) or None, completed=settled, said=said)
