"""What was meant when a task is named where a run is wanted, or the other way round: the error says what to type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from control_api.cli.client import Client
from schemas.errors import NotFound

OPEN: Final = ("running", "paused", "prepared")


@contextmanager
def of_run(client: Client, name: str, command: str) -> Iterator[None]:
    """Around a command's requests about the run `name`; `command` is what was typed before the name."""
    try:
        yield
    except NotFound as error:
        if _there(client, f"/runs/{name}"):
            raise
        raise NotFound(_instead_of_run(client, name, command)) from error


@contextmanager
def of_task(client: Client, name: str, command: str) -> Iterator[None]:
    """Around a command's requests about the task `name`."""
    try:
        yield
    except NotFound as error:
        if Path(name).is_file():
            raise NotFound(f"{name} is a file, not a registered task: metal run {name}") from error
        run = _there(client, f"/runs/{name}")
        if run is None:
            raise
        task = run["task"]
        raise NotFound(f"{name} is a run of the task {task}, not a task: metal {command} {task}") from error


def _instead_of_run(client: Client, name: str, command: str) -> str:
    if _there(client, f"/tasks/{name}") is None:
        return f"there is no run {name!r}; see: metal task runs"
    found = client.get("/runs", task=name, state=list(OPEN), limit=2)["items"]
    if len(found) == 1:
        run, state = found[0]["run"], found[0]["state"]
        return f"{name} is a task, not a run; its {state} run is {run}: metal {command} {run}"
    many = "it has several open runs" if found else "it has no open run"
    return f"{name} is a task, not a run; {many}, see: metal task runs {name}"


def _there(client: Client, path: str) -> dict[str, Any] | None:
    with suppress(NotFound):
        found: dict[str, Any] = client.get(path)
        return found
    return None
