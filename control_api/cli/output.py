"""What commands print: answers on stdout, everything else on stderr; colours only where NO_COLOR allows them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

if TYPE_CHECKING:
    from rich.table import Table

_WIDE = 1000
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def answer(document: Any) -> None:
    """Prints the one JSON document of a command."""
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """A line on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def show(thing: Any) -> None:
    """A table or a line on stdout, for people."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDE)  # a file has no edge to wrap at
    console.print(thing, soft_wrap=isinstance(thing, str))


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Numbers stand to the right; None is an empty cell. Text is shown as it is, never as markup."""
    from rich.table import Table
    from rich.text import Text

    found = [[_cell(value) for value in row] for row in rows]
    made = Table(box=None, pad_edge=False)
    for at, heading in enumerate(headings):
        numbers = bool(found) and all(isinstance(row[at][0], int | float) for row in found)
        made.add_column(heading, justify="right" if numbers else "left", overflow="fold")
    for row in found:
        made.add_row(*(Text(text) for _, text in row))
    return made


def _cell(value: Any) -> tuple[Any, str]:
    if value is None:
        return value, ""
    if isinstance(value, dict | list):
        return None, orjson.dumps(value).decode()
    if isinstance(value, int) and not isinstance(value, bool):
        return value, f"{value:,}"
    return value, str(value)
