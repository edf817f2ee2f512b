"""metal run: register a task file, release it, start it and, if asked, wait until it is prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from control_api.cli.output import AsJson, answer, note, show
from control_api.cli.waiving import Keep, Off, OffTables, PermitFile, Why


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("run")(run)


def run(
    file: Annotated[Path, typer.Argument(metavar="TASK.yaml", help="A task file.")],
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Return when the run is prepared, failed or stopped; exit code 1 if not prepared."),
    ] = False,
    off: Off = False,
    tables: OffTables = None,
    reason: Why = None,
    keep: Keep = None,
    permit: PermitFile = None,
    as_json: AsJson = False,
) -> None:
    """Register a task file, release it and start a run of it."""
    from control_api.cli import starting, waiving
    from control_api.cli.client import Client
    from control_api.cli.watching import wait as wait_for

    waived = waiving.asked(off, tables, reason, keep)
    with Client(permit=waiving.read_permit(permit) if off else None) as client:
        task = starting.register(client, file)
        started = starting.start(client, task, file, waived)
        if not as_json:
            note(f"run {started['run']} of task {started['task']}, version {started['version']}")
        finished = wait_for(client, started["run"], quiet=as_json) if wait else started
    report(finished, as_json, wait)


def report(found: dict[str, Any], as_json: bool, waited: bool) -> None:
    """Shows a run; exit code 1 if it was waited for and is not prepared."""
    from control_api.cli.waiving import tell
    from control_api.cli.watching import counts

    tell(found)
    if as_json:
        answer(found)
    else:
        show(f"{found['run']}: {found['state']}, {found['seconds']:.1f} s")
        show(counts(found))
        for line in found["notes"]:
            note(f"note: {line}")
    if waited and found["state"] != "prepared":
        note(f"metal: run {found['run']} is {found['state']}: {found['reason'] or 'no reason was given'}")
        raise typer.Exit(1)
