"""What of a table of totals is compared across its releases: which columns name a group, which count who is in it.

Looked at are aggregated tables that keep small groups to themselves, and what is derived from such a table alone. One
that publishes them promises nothing, and one that is told with noise is paid for from a budget.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from processors.aggregate.families import Handling, handling_of
from processors.privacy.totals import Totals
from processors.transform.outputs import aggregate_of, projection, table_plan
from schemas.columns import ColumnType
from schemas.task.model import Aggregate, SmallGroups, Task

_UNITS = ("day", "month", "quarter", "year", "decade")  # of which a name says what is within it


@dataclass(frozen=True)
class Told:
    """`family`: the table that all tables which tell of the same records go back to."""

    totals: Totals
    k: int
    family: str


def told_of(name: str, task: Task) -> Told | None:
    """None of a table that promises nothing of groups, or is no table of totals."""
    aggregate = aggregate_of(task.tables[name])
    if aggregate is None:
        return _derived(name, task)
    handling = handling_of(name, task)
    if handling is None:
        return None
    if handling.rule is not None:
        return _aggregated(name, task, aggregate, handling.rule, handling)
    below = None if handling.of is None else told_of(handling.of, task)
    return None if below is None else _over(name, task, aggregate, below, handling.of or "")


def published(told: Told, columns: Mapping[str, ColumnType], treated: Collection[str]) -> Told:
    """As far as columns are published; what methods have `treated` names no group, and nothing is counted by it."""
    one = told.totals
    plain = {name: text for name, text in one.by.items() if name in columns and name not in treated}
    figures = {
        name: f"treated {one.figures.get(name, name)}" if name in treated else one.figures.get(name, name)
        for name in columns
        if name not in one.by
    }
    counts = tuple(name for name in one.counts if name in columns and name not in treated)
    merged = {name: how for name, how in one.merged.items() if name in plain}
    return replace(told, totals=Totals(plain, figures, counts, merged, one.named and len(plain) == len(one.by)))


def _aggregated(name: str, task: Task, aggregate: Aggregate, rule: SmallGroups, handling: Handling) -> Told:
    """Where each record is its own subject, a count of anything is of no more of them than there are."""
    figures = _figures(aggregate)
    whose = _bare(f"count(distinct {rule.subject})")
    counts = [
        one for one, text in figures.items() if (text.startswith("count(") if rule.subject is None else text == whose)
    ]
    by = _by(name, task)
    kinds = {one: kind for one, (_, kind) in by.items()}
    merged = {one: _within(one, kinds[one], rule) for level in rule.levels for one in level}
    told = Totals({one: text for one, (text, _) in by.items()}, figures, tuple(counts), merged)
    return Told(told, rule.k, handling.family)


def _over(name: str, task: Task, aggregate: Aggregate, below: Told, of: str) -> Told:
    """Totals of groups: what adds up counts of subjects is one."""
    figures = _figures(aggregate)
    adds = [one for one in below.totals.counts if not below.totals.figures[one].startswith("count(distinct")]
    sums = {_bare(f"sum({of}.{one})") for one in adds}
    counts = tuple(one for one, text in figures.items() if text in sums)
    return replace(below, totals=Totals({one: text for one, (text, _) in _by(name, task).items()}, figures, counts))


def _derived(name: str, task: Task) -> Told | None:
    """A row for each group of the table below, with what is derived of it."""
    base = next(iter(task.tables[name].from_ or {}), None)
    below = None if base is None else told_of(base, task)
    if base is None or below is None:
        return None
    one, given = below.totals, projection(name, task)
    under = {column: text.removeprefix(f"{base}.") for column, text in given.items() if text.startswith(f"{base}.")}
    by = {column: one.by[column_below] for column, column_below in under.items() if column_below in one.by}
    figures = {
        column: one.figures.get(under.get(column, ""), f"{name}.{column}") for column in given if column not in by
    }
    counts = tuple(column for column, column_below in under.items() if column_below in one.counts)
    merged = {column: one.merged[under[column]] for column in by if under[column] in one.merged}
    return replace(below, totals=Totals(by, figures, counts, merged, one.named and len(by) == len(one.by)))


def _figures(aggregate: Aggregate) -> dict[str, str]:
    return {name: _bare(text) for name, text in aggregate.columns.items()}


def _bare(text: str) -> str:
    return text.replace(" ", "").lower()


def _by(name: str, task: Task) -> dict[str, tuple[str, ColumnType]]:
    _, plan = table_plan(name, task)
    return {one.name: (one.column, one.kind.type) for one in (plan.by if plan else ())}


def _within(name: str, kind: ColumnType, rule: SmallGroups) -> tuple[ColumnType, list[list[str]] | None] | None:
    """How the names of a column's groups say what is within them; None where they don't."""
    forms = [level[name] for level in rule.levels if name in level]
    if kind == "date" and all(form.get("unit") in _UNITS for form in forms):
        return "date", None
    rows = forms[-1].get("rows")
    return None if rows is None else (kind, rows)
