"""metal demo: the embedded stack, a sample task, prepared data, and what to open next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from control_api.cli.output import AsJson, answer, note, show
from schemas.errors import NotFound

EXAMPLE: Final = Path(__file__).resolve().parents[3] / "examples" / "people" / "people.task.yaml"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("demo")(demo)


def demo(
    task: Annotated[
        Path, typer.Argument(metavar="TASK.yaml", help="Another task file.", show_default="the sample, people")
    ] = EXAMPLE,
    as_json: AsJson = False,
) -> None:
    """Start a stack, run a sample task and say what to look at.

    The stack lives in ~/.metal-demo unless METAL_HOME names another folder.
    """
    from control_api.cli import starting
    from control_api.cli.client import Client
    from control_api.cli.watching import counts, wait
    from deploy import stack

    if not task.exists():
        raise NotFound(f"there is no task file {task}; 'metal demo' runs from a checkout, or names a task file")
    os.environ.setdefault("METAL_HOME", str(Path("~/.metal-demo").expanduser()))
    started = time.monotonic()
    stack.up(report=note)
    note(f"the stack is up after {time.monotonic() - started:.1f} s")
    with Client() as client:
        run = starting.start(client, starting.register(client, task))
        found = wait(client, run["run"], quiet=as_json)
        address = client.address
    if as_json:
        answer(found)
    else:
        show(counts(found))
    if found["state"] != "prepared":
        note(f"metal: run {found['run']} is {found['state']}: {found['reason'] or 'no reason was given'}")
        raise typer.Exit(1)
    if not as_json:
        show(_next(found, address))


def _next(found: dict[str, Any], address: str) -> str:
    """Lines that can be pasted as they stand."""
    run, name = found["run"], next(iter(found["tables"]))
    rejected = sum(counts["rejected"] for counts in found["tables"].values())
    metal = "metal" if shutil.which("metal") else os.path.relpath(Path(sys.executable).with_name("metal"))
    return "\n".join(
        [
            "",
            "Prepared. What to look at next:",
            f"  export METAL_HOME={shlex.quote(os.environ['METAL_HOME'])}",
            f"  {metal} outbox show {run} --table {name}",
            f"  {metal} outbox export {run} --table {name} --format csv",
            *([f"  {metal} deadletter list {run}      what could not be read"] if rejected else []),
            f"  {metal} task runs",
            f"  {metal} audit tail",
            f"  {metal} status",
            f"  {address}/docs",
            f"  {metal} down --purge      when you have seen enough",
        ]
    )
