"""Checks of a source that tells changes: what its columns mean, and whether they can mean that.

Both columns may stay undeclared: then they are read for their meaning alone, the order as int64, the mark of a
deletion as any scalar. A declared one must be of a type that has one order, or one text for one value.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from schemas.task.model import Changes, Source, Table
from schemas.task.text import Finding, Place

ORDERED_BY: Final = ("int64", "timestamp", "date")
MARKED_BY: Final = ("string", "int64", "bool", "date")
_CLOSE: Final = 0.8


def told_columns(source: Source) -> list[str]:
    """The columns that a source is read for beyond those that its table declares, or among them."""
    if not isinstance(source.changes, Changes):
        return []
    order_by, delete = source.changes.order_by, source.changes.delete
    return [*([order_by] if order_by else []), *([delete.column] if delete else [])]


def check_changes(table: Table, source: Source, place: Place, ordered: bool = True) -> Iterator[Finding]:
    """`ordered`: whether records stand in the source in an order that means something."""
    if source.changes and table.primary_key is None:
        right = "give the table a primary_key"
        yield Finding(place, "changes of a table without a primary key", right)
    if source.changes and not ordered and not (isinstance(source.changes, Changes) and source.changes.order_by):
        wrong = f"records of {source.connector} have no order of their own"
        yield Finding(place, wrong, "write changes: {order_by: COLUMN}, a column that orders the changes of one key")
    if not isinstance(source.changes, Changes):
        return
    if source.changes.order_by is not None:
        yield from _column(table, source.changes.order_by, (*place, "order_by"), ORDERED_BY, "order")
    if source.changes.delete is not None:
        yield from _column(table, source.changes.delete.column, (*place, "delete", "column"), MARKED_BY, "deletion")


def _column(table: Table, name: str, place: Place, types: tuple[str, ...], what: str) -> Iterator[Finding]:
    declared = table.columns.get(name)
    if declared is not None:
        if declared.type not in types:
            wrong = f"{name} is a {declared.type}, which tells no {what}"
            right = f"name a column of type {', '.join(types[:-1])} or {types[-1]}, or one that is not declared"
            yield Finding(place, wrong, right)
        return
    alike = [known for known in table.columns if known.lower() == name.lower()]
    if alike:
        yield Finding(place, f"there is no column {name}", f"did you mean {alike[0]}?")
    elif close := get_close_matches(name, table.columns, n=1, cutoff=_CLOSE):
        wrong = f"there is no column {name}, so it is read for the {what} alone"
        yield Finding(place, wrong, f"did you mean {close[0]}? Else leave it", severity="warning")
