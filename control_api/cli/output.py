"""What commands print: answers on stdout, everything else on stderr.

Escape sequences stand in neither unless it is a terminal and NO_COLOR is not set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TextIO

import orjson
import typer

if TYPE_CHECKING:
    from rich.table import Table

_WIDE = 1000
_TYPED_AGAIN: Final = frozenset({"id", "_id", "run", "task"})  # columns of what commands are given
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def plain(stream: TextIO) -> bool:
    """Whether this must be free of escape sequences."""
    return bool(os.environ.get("NO_COLOR")) or not stream.isatty()


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

    console = Console(
        highlight=False,  # text is shown as it is
        markup=False,
        emoji=False,
        color_system=None if plain(sys.stdout) else "auto",
        width=None if sys.stdout.isatty() else _WIDE,  # a file has no edge to wrap at
    )
    console.print(thing, soft_wrap=isinstance(thing, str))


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], grouped: bool = True) -> Table:
    """Numbers stand to the right, `grouped` by thousands; None is an empty cell. What is typed again is never cut."""
    from rich.table import Table
    from rich.text import Text

    found = [[_cell(value, grouped) for value in row] for row in rows]
    made = Table(box=None, pad_edge=False)
    for at, heading in enumerate(headings):
        numbers = bool(found) and all(isinstance(row[at][0], int | float) for row in found)
        side: Literal["left", "right"] = "right" if numbers else "left"
        made.add_column(Text(heading), justify=side, overflow="fold", no_wrap=heading in _TYPED_AGAIN)
    for row in found:
        made.add_row(*(Text(text) for _, text in row))
    return made


def moment(at: str | None) -> str | None:
    """A point in time as people read it: to the second."""
    return at and f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _cell(value: Any, grouped: bool) -> tuple[Any, str]:
    if value is None:
        return value, ""
    if isinstance(value, dict | list):
        return None, orjson.dumps(value).decode()
    if isinstance(value, int) and not isinstance(value, bool):
        return value, f"{value:,}" if grouped else str(value)
    return value, str(value)
