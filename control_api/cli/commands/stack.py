"""metal up, down, status, scale: the embedded stack and the services on it.

Always: with --json exactly one document on stdout, everything else on stderr; a stack that doesn't come up is exit
code 3. Must not know: how servers are started.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from deploy import stack
from schemas.errors import Fatal, InvalidInput, Mistake, Retriable

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("scale")(scale)


def up(
    as_json: AsJson = False,
    only: Annotated[str, typer.Option(hidden=True, help="Comma-separated names.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds without progress after which it gives up.")] = 120.0,
) -> None:
    """Start the stack and the services; does nothing when they run already."""
    names = [name.strip() for name in only.split(",")] if only else None
    with unreachable():
        found = stack.up(None, names, timeout=timeout, report=_tell)
    if not found.changed:
        _tell("already up")
    _show(found, as_json)


def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also remove all state of this home.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the services and the stack, whatever they are doing."""
    with unreachable():
        ran = stack.down(purge=purge)
    if as_json:
        _print_json({"state": "down", "changed": ran, "purged": purge})
        return
    _tell(("stopped" if ran else "nothing was running") + (f"; {stack.home()} is purged" if purge else ""))


def status(as_json: AsJson = False) -> None:
    """What runs, where it listens, how often it was started again."""
    _show(stack.status(), as_json)


def scale(
    counts: Annotated[list[str], typer.Argument(metavar="SERVICE=N...", help="For example worker=3 connect=2.")],
    as_json: AsJson = False,
    timeout: Annotated[float, typer.Option(help="Seconds without progress after which it gives up.")] = 120.0,
) -> None:
    """Change how many processes of a service run, while they run."""
    wanted = parse(counts)
    with unreachable():
        found = stack.scale(wanted, timeout=timeout)
    _show(found, as_json)


def parse(counts: list[str]) -> dict[str, int]:
    """`worker=3` as a name and a number."""
    wanted, mistakes = {}, []
    for text in counts:
        name, _, number = text.partition("=")
        if name in stack.SERVICES and number.isascii() and number.isdigit():
            wanted[name] = int(number)
        else:
            right = f"SERVICE=N with SERVICE one of {', '.join(stack.SERVICES)} and N a whole number"
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


def _show(found: stack.Status, as_json: bool) -> None:
    if as_json:
        _print_json(asdict(found))
        return
    console = Console()
    console.print(f"[bold]{found.state}[/bold]  {found.home}", highlight=False)
    if found.state == "down":
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "state", "pid", "port", "restarts"):
        table.add_column(heading)
    for name, processes in found.services.items():
        for process in processes:
            table.add_row(name, *(str(process.get(key, "") or "") for key in ("state", "pid", "port", "restarts")))
    console.print(table)
    for name, address in found.endpoints.items():
        if address:
            console.print(f"{name:9} {address}", highlight=False, soft_wrap=True)


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
