"""A waiver: tables of one run leave as they are, on somebody's word. It belongs to the run, never to its task.

What always holds: the tables are named one by one, each declares a method, and everything else of the task stays as
it was released. How a waiver is granted and stored is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # the command line asks for the figures alone, and starts quickly
    from schemas.task.model import Task

HOURS: Final = 24.0  # that rows of such a run are kept, unless its starter says otherwise
MOST_HOURS: Final = 720.0


@dataclass(frozen=True)
class Asked:
    """What a starter asks for: all tables that declare methods where none is named."""

    reason: str
    tables: tuple[str, ...] = ()
    hours: float = HOURS


@dataclass(frozen=True)
class Waiver:
    """`by` is the name that the starter gave, `permit` the holder of the permit; after `until` the rows are deleted."""

    tables: tuple[str, ...]
    by: str
    permit: str
    reason: str
    at: datetime
    until: datetime

    def told(self) -> dict[str, Any]:
        """As runs are shown."""
        return {
            "tables": list(self.tables),
            "by": self.by,
            "permit": self.permit,
            "reason": self.reason,
            "at": self.at.isoformat(),
            "until": self.until.isoformat(),
        }


def anonymized_tables(task: Task) -> list[str]:
    """The tables that declare methods."""
    return [name for name, table in task.tables.items() if table.anonymize]


def without_methods(task: Task, tables: Collection[str]) -> Task:
    """The task as a run with a waiver carries it out."""
    changed = {name: task.tables[name].model_copy(update={"anonymize": []}) for name in tables if name in task.tables}
    return task.model_copy(update={"tables": {**task.tables, **changed}})
