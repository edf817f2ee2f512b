"""Which aggregated tables of a task tell of the same records, so that small groups are withheld from all together.

Tables of one family go back to the same table, through whatever joins, filters and derived tables. What goes back to
groups that may be published, without joining anything to them, tells nothing that they don't: it withholds nothing
unless the task says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from processors.transform.outputs import aggregate_of
from schemas.task.model import SmallGroups, Task


@dataclass(frozen=True)
class Handling:
    """What becomes of an aggregated table's small groups.

    `rule` is None where they are published: because the task says so, or because `of` is a table of groups that may be
    published already. `beside`: tables that tell of the same records with small groups published.
    """

    family: str
    rule: SmallGroups | None
    of: str | None = None
    beside: tuple[str, ...] = ()


def handling_of(name: str, task: Task) -> Handling | None:
    """None of a table that is not aggregated, or told with noise: that has all its groups, and protects by itself."""
    aggregate = aggregate_of(task.tables[name])
    if aggregate is None or aggregate.noise is not None:
        return None
    family, joined = _root(name, task)
    published = (one for one in task.tables if one != name and _published(one, task))
    beside = tuple(one for one in published if _root(one, task)[0] == family)
    if aggregate.small_groups == "publish":
        return Handling(family, None, beside=beside)
    if aggregate.small_groups is None and not joined and _protected(family, task):
        return Handling(family, None, of=family)
    return Handling(family, aggregate.small_groups or SmallGroups(), beside=beside)


def _root(name: str, task: Task) -> tuple[str, bool]:
    """The collected or aggregated table that a table goes back to, and whether others are joined on the way."""
    joined = False
    while True:
        (name, joins), *_ = (task.tables[name].from_ or {}).items()
        joined = joined or bool(joins.join)
        if not task.tables[name].derived or aggregate_of(task.tables[name]) is not None:
            return name, joined


def _protected(name: str, task: Task) -> bool:
    """Whether a table is one of groups that may be published."""
    aggregate, found = aggregate_of(task.tables[name]), handling_of(name, task)
    if aggregate is not None and aggregate.noise is not None:
        return True
    return found is not None and (found.rule is not None or found.of is not None)


def _published(name: str, task: Task) -> bool:
    aggregate = aggregate_of(task.tables[name])
    return aggregate is not None and aggregate.small_groups == "publish"
