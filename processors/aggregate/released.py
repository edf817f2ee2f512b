"""What of a table of totals is compared across its releases: which columns name a group, which count who is in it.

Looked at are aggregated tables that keep small groups to themselves, and what is derived from such a table alone. One
that publishes them promises nothing, and one that is told with noise is paid for from a budget.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from processors.aggregate.families import Handling, handling_of
from processors.privacy.releases.totals import Totals, figures_that_add_up
from processors.transform.outputs import aggregate_of, projection, table_plan
from schemas.columns import ColumnType
from schemas.task.model import Aggregate, SmallGroups, Task

_UNITS = ("day", "month", "quarter", "year", "decade")  # of which a name says what is within it


@dataclass(frozen=True)
class Told:
    """`family`: the table that all tables which tell of the same records go back to; `but`: what leaves some out."""

    totals: Totals
    k: int
    family: str
    but: frozenset[str] = frozenset()

    def related(self, other: Told) -> bool:
        """Whether one has all records of the other, as far as the task's texts say so."""
        return self.family == other.family and (self.but <= other.but or other.but <= self.but)


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
    return Told(told, rule.k, handling.family, _but(name, task))


def _over(name: str, task: Task, aggregate: Aggregate, below: Told, of: str) -> Told:
    """Totals of groups: what adds up a total is the same total of more."""
    one, figures = below.totals, _figures(aggregate)
    sums = {_bare(f"sum({of}.{column})"): (column, text) for text, column in figures_that_add_up(one).items()}
    counts = tuple(column for column, text in figures.items() if text in sums and sums[text][0] in one.counts)
    figures = {column: sums[text][1] if text in sums else f"{text} of {of}" for column, text in figures.items()}
    by = {column: text for column, (text, _) in _by(name, task).items()}
    return replace(below, totals=Totals(by, figures, counts), but=below.but | _but(name, task))


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
    totals = Totals(by, figures, counts, merged, one.named and len(by) == len(one.by))
    return replace(below, totals=totals, but=below.but | _but(name, task))


def _but(name: str, task: Task) -> frozenset[str]:
    """The joins and filters between a table and the collected or aggregated one that it goes back to."""
    found: set[str] = set()
    while True:
        table = task.tables[name]
        (base, joins), *_ = (table.from_ or {}).items()
        found |= {f"{base}.{column} in {other}" for other, column in joins.join.items()}
        derived: list[str] = []
        for step in table.transform:
            derived += [f"{column}: {text}" for column, text in (step.derive or {}).items()]
            found |= {f"{step.filter} of {derived}"} if step.filter is not None else set()
        name = base
        if not task.tables[name].derived or aggregate_of(task.tables[name]) is not None:
            return frozenset(found)


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
