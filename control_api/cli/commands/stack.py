"""metal up, down, status, scale: the embedded stack and the services on it.

Always: with --json exactly one document on stdout, everything else on stderr; a stack that doesn't come up is exit
code 3. Must not know: how servers are started.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from control_api.cli.output import AsJson, answer, note, show, table
from schemas.errors import Fatal, InvalidInput, Mistake, Retriable

if TYPE_CHECKING:
    from deploy.stack import Status

COLUMNS = ("state", "pid", "port", "restarts", "reason")
Patience = Annotated[float, typer.Option(metavar="SECONDS", help="Give up after so long without progress.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("scale")(scale)


def up(
    as_json: AsJson = False,
    only: Annotated[str, typer.Option(hidden=True, help="Comma-separated names.")] = "",
    timeout: Patience = 120.0,
) -> None:
    """Start Kafka, PostgreSQL and metal's services on this machine.

    Does nothing when they run already. Everything is kept in METAL_HOME, which is
    ~/.metal unless you set it.
    """
    from deploy import stack

    names = [name.strip() for name in only.split(",")] if only else None
    with unreachable():
        found = stack.up(None, names, timeout=timeout, report=note)
    if not found.changed:
        note("already up")
    _show(found, as_json)


def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also delete all data in METAL_HOME: tasks, runs, prepared records.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Stop what 'metal up' started.

    Runs go on with the next 'metal up', unless --purge.
    """
    from deploy import stack

    with unreachable():
        ran = stack.down(purge=purge)
    if as_json:
        answer({"state": "down", "changed": ran, "purged": purge})
        return
    note(("stopped" if ran else "nothing was running") + (f"; {stack.home()} is purged" if purge else ""))


def status(as_json: AsJson = False) -> None:
    """Show which services run, and where they listen."""
    from deploy import stack

    _show(stack.status(), as_json)


def scale(
    counts: Annotated[list[str], typer.Argument(metavar="SERVICE=N", help="For example worker=3 connect=2.")],
    as_json: AsJson = False,
    timeout: Patience = 120.0,
) -> None:
    """Change how many processes of a service run, while they run."""
    from deploy import stack

    wanted = parse(counts)
    with unreachable():
        found = stack.scale(wanted, timeout=timeout)
    _show(found, as_json)


def parse(counts: list[str]) -> dict[str, int]:
    """`worker=3` as a name and a number."""
    from deploy.stack import SERVICES

    wanted, mistakes = {}, []
    for text in counts:
        name, _, number = text.partition("=")
        if name in SERVICES and number.isascii() and number.isdigit():
            wanted[name] = int(number)
        else:
            right = f"SERVICE=N with SERVICE one of {', '.join(SERVICES)} and N a whole number"
            mistakes.append(Mistake("command line", 1, text, "not understood", right))
    if mistakes:
        raise InvalidInput(mistakes)
    return wanted


@contextmanager
def unreachable() -> Iterator[None]:
    """What keeps the stack from running means for the caller that it can't be reached."""
    try:
        yield
    except Fatal as error:
        raise Retriable(str(error)) from error


def _show(found: Status, as_json: bool) -> None:
    if as_json:
        answer(asdict(found))
        return
    show(f"{found.state}  {found.home}")
    if found.state == "down":
        return
    rows = [
        [name, *(str(process[key]) if process.get(key) else None for key in COLUMNS)]
        for name, processes in found.services.items()
        for process in processes
    ]
    show(table(["service", *COLUMNS], rows))
    show(table(["endpoint", "address"], [[name, at] for name, at in found.endpoints.items() if at]))
