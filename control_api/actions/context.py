"""What an action needs beside its arguments; made once by the process that offers the actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from control_api.store.db import Connection, Connections
from schemas.errors import InvalidInput, Mistake
from schemas.permissions import ANYBODY, Caller
from schemas.task.components import Components
from schemas.task.model import Task

CreateTables = Callable[[Connection, str, Task], None]


@dataclass(frozen=True)
class Context:
    """`create_tables` makes the tables of a run in the review store, in the transaction that makes the run.

    `caller` is what whoever calls may do beyond what everybody may; a transport sets it for each call.
    """

    connections: Connections
    components: Components
    create_tables: CreateTables
    master: bytes = field(repr=False)
    caller: Caller = ANYBODY


def wrong(path: str, what: str, right: str) -> InvalidInput:
    """One argument of an action is wrong."""
    return InvalidInput([Mistake("(request)", 1, path, what, right)])
