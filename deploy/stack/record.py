"""The supervisor's record of what runs, as everybody else reads it.

Always: a record is believed only as far as its processes live. Must not know: how processes are started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.stack.layout import Layout, read_json
from deploy.stack.processes import Identity


@dataclass(frozen=True)
class Record:
    """What the supervisor last wrote."""

    supervisor: Identity | None
    state: str
    revision: int
    children: list[dict[str, Any]]
    external: list[str]

    @property
    def supervised(self) -> bool:
        return self.supervisor is not None and self.supervisor.alive

    def living(self) -> list[tuple[dict[str, Any], Identity]]:
        """Children that still run, whoever looks after them."""
        found = [(child, identity(child)) for child in self.children]
        return [(child, who) for child, who in found if who is not None and who.alive]


def identity(child: dict[str, Any]) -> Identity | None:
    return None if child["pid"] is None else Identity(child["pid"], child["created"])


def read(layout: Layout) -> Record:
    """The home's record; an empty one when there never was a supervisor."""
    stored = read_json(layout.run / "state.json")
    if stored is None:
        return Record(None, "down", 0, [], [])
    supervisor = Identity(**stored.pop("supervisor"))
    return Record(supervisor, **stored)


def alive(layout: Layout) -> bool:
    """Whether anything of this home runs."""
    record = read(layout)
    return record.supervised or bool(record.living())
