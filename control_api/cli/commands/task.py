"""metal task: look over, register, start and steer tasks and their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from control_api.cli.output import AsJson, answer, moment, note, show, table

File = Annotated[Path, typer.Argument(metavar="TASK.yaml")]
RunName = Annotated[str, typer.Argument(metavar="RUN")]
Reason = Annotated[str | None, typer.Option("--reason", help="Noted in the audit log.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="Tasks, and the runs of them.", no_args_is_help=True)
    for command in (lint, list_, show_, runs, start, pause, resume, stop):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="task")


def lint(file: File, as_json: AsJson = False) -> None:
    """Say every mistake of a task file. Needs no service."""
    from control_api.composition import components
    from schemas.task.load import lint as find

    mistakes = find(file, components())
    sound = all(mistake.severity != "error" for mistake in mistakes)
    if as_json:
        answer({"ok": sound, "mistakes": [vars(mistake) for mistake in mistakes]})
    else:
        for mistake in mistakes:
            note(str(mistake))
        show(f"{file}: {'no mistakes' if not mistakes else f'{len(mistakes)} found'}")
    if not sound:
        raise typer.Exit(2)


def list_(as_json: AsJson = False) -> None:
    """The newest version of each task."""
    found = _pages("/tasks")
    if as_json:
        answer({"tasks": found})
        return
    rows = [
        (one["task"], one["version"], one["mode"], _yes(one["released"]), moment(one["created_at"])) for one in found
    ]
    show(table(("task", "version", "mode", "released", "created"), rows))


def show_(
    task: Annotated[str, typer.Argument(metavar="TASK")],
    version: Annotated[int | None, typer.Option("--version", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """A task as its author wrote it."""
    path = f"/tasks/{task}" if version is None else f"/tasks/{task}/versions/{version}"
    found = _get(path)
    if as_json:
        answer(found)
        return
    note(f"version {found['version']}, released: {_yes(found['released'])}, by {found['created_by']}")
    show(found["text"])


def runs(
    task: Annotated[str | None, typer.Argument(metavar="TASK")] = None,
    state: Annotated[list[str] | None, typer.Option("--state")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest runs."""
    found = _pages("/runs", limit, task=task, state=state)
    if as_json:
        answer({"runs": found})
        return
    rows = [(one["run"], one["state"], moment(one["created_at"]), one["reason"]) for one in found]
    show(table(("run", "state", "started", "reason"), rows))


def start(
    task: Annotated[str, typer.Argument(metavar="TASK")],
    version: Annotated[int | None, typer.Option("--version", min=1)] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is prepared, failed or stopped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a registered task: the version named, or the newest that is released."""
    from control_api.cli import starting
    from control_api.cli.client import Client
    from control_api.cli.commands.run import report
    from control_api.cli.watching import wait as wait_for

    with Client() as client:
        run = starting.start(client, _released(client, task, version))
        finished = wait_for(client, run["run"], quiet=as_json) if wait else run
    report(finished, as_json, wait)


def pause(run: RunName, reason: Reason = None, as_json: AsJson = False) -> None:
    """Read the sources of a run no further; what was read goes on."""
    _steer(run, "pause", {"reason": reason}, as_json)


def resume(run: RunName, reason: Reason = None, as_json: AsJson = False) -> None:
    """Go on with a paused run."""
    _steer(run, "resume", {"reason": reason}, as_json)


def stop(
    run: RunName,
    drop: Annotated[bool, typer.Option("--drop", help="Delete its prepared rows, too.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """End a run for good; what is under way is dropped where it stands."""
    _steer(run, "stop", {"reason": reason, "drop_prepared": drop}, as_json)


def _released(client: Any, task: str, version: int | None) -> dict[str, Any]:
    versions = client.get(f"/tasks/{task}/versions")["items"]
    released = [one["version"] for one in versions if one["released"]]
    chosen = version or (max(released) if released else versions[0]["version"])
    found: dict[str, Any] = client.get(f"/tasks/{task}/versions/{chosen}")
    return found


def _steer(run: str, verb: str, body: dict[str, Any], as_json: bool) -> None:
    from control_api.cli.client import Client

    with Client() as client:
        found = client.post(f"/runs/{run}/{verb}", body)
    if as_json:
        answer(found)
    else:
        show(f"{found['run']}: {found['state']}")


def _get(path: str) -> Any:
    from control_api.cli.client import Client

    with Client() as client:
        return client.get(path)


def _pages(path: str, limit: int | None = None, **query: Any) -> list[dict[str, Any]]:
    from control_api.cli.client import Client

    with Client() as client:
        return list(client.pages(path, limit, **query))


def _yes(value: bool) -> str:
    return "yes" if value else "no"
