"""Forms the groups that `generalize` guarantees: what a task declares, and the treatment of a whole table it becomes.

Always holds: what leaves keeps every k, l and t that was asked for, or nothing leaves. A bounded run whose table can't
keep them halts and says what would be needed; of a table that still grows nothing is shown until it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.by_boxes import numbered, whole_order
from processors.anonymize.full_domain import generalized
from processors.anonymize.protocol import Batch, Beside, Columns, Formed, Numbered, Treatment, column_of
from processors.privacy.domains.climb import check as check_steps
from processors.privacy.domains.dimension import Grain, Survey, dimension, survey, surveys
from processors.privacy.groups.covers import unclear
from processors.privacy.groups.shortfall import Infeasible
from processors.privacy.guarantees import requested
from processors.privacy.search.demands import Demands
from processors.privacy.search.unreachable import Unreachable
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.errors import Fatal
from schemas.task.model import Column, Name, Strict

GROUPED: frozenset[ColumnType] = frozenset({"string", "bool", "int64", "float64", "decimal", "date", "timestamp"})
Search = Literal["mondrian", "full_domain"]
Measure = Literal["ncp", "leaves", "discernibility", "class_size"]
COUNTED: frozenset[ColumnType] = GROUPED | {"json"}


class Diversity(Strict):
    """How many values of a sensitive column a group has at least."""

    column: str = Field(description="The sensitive column.")
    l: float = Field(ge=1, description="How many values a group has, counted as `kind` says.")  # noqa: E741
    kind: Literal["distinct", "entropy", "recursive"] = Field(
        default="distinct", description="How values are counted: each once, by their entropy, or without the frequent."
    )
    c: float | None = Field(default=None, gt=0, description="recursive: how much the most frequent may outweigh.")

    @model_validator(mode="after")
    def _c_for_recursive(self) -> Diversity:
        if (self.c is None) == (self.kind == "recursive"):
            raise MisfitError("has no c, or one that counts for nothing", "give c with kind: recursive alone", ("c",))
        if self.kind != "entropy" and self.l != int(self.l):
            raise MisfitError("is no whole number", "give a whole number of values", ("l",))
        return self


class Closeness(Strict):
    """How far the values of a group may be from those of all records."""

    column: str = Field(description="The sensitive column.")
    t: float = Field(ge=0, le=1, description="The distance at most: 0 for equal shares, 1 for anything.")
    distance: Literal["equal", "ordered"] = Field(
        default="equal", description="Whether all values are as far from each other, or by their order."
    )
    order: list[str] | None = Field(default=None, description="The values from the least on, where text has an order.")


class Population(Strict):
    """Everyone who might be in the table, each once."""

    table: Name = Field(
        description="Another table of the task, with the same quasi-identifiers. It is looked at as it came: if it is "
        "not to be published, let suppress leave its records out."
    )


class Presence(Strict):
    """How sure anyone may be that somebody of a population is in the table (delta-presence)."""

    population: Population = Field(description="Everyone who might be in the table.")
    delta: list[float] = Field(
        min_length=2,
        max_length=2,
        description="The share of its people in the population that a group has, at least and at most: [0, 0.5].",
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Presence:
        if not 0 <= self.delta[0] <= self.delta[1] <= 1:
            raise MisfitError("is no range", "give two shares from 0 to 1, ascending", ("delta",))
        return self


def asked(diversity: list[Diversity], closeness: list[Closeness]) -> dict[str, tuple[Any, Any]]:
    """Sensitive column: what is asked of it, in the words of the measures."""
    found: dict[str, tuple[Any, Any]] = {}
    for column in dict.fromkeys([*(one.column for one in diversity), *(one.column for one in closeness)]):
        found[column] = (
            tuple(requested.Diversity(column, d.l, d.kind, d.c) for d in diversity if d.column == column),
            tuple(
                requested.Closeness(column, c.t, c.distance, None if c.order is None else tuple(c.order))
                for c in closeness
                if c.column == column
            ),
        )
    return found


@dataclass(frozen=True)
class Wanted:
    """What groups of a table are asked for, and by which search they are to be found."""

    quasi_identifiers: list[str]
    k: int
    limit: float
    grains: Mapping[str, Grain]
    sensitive: Mapping[str, tuple[Any, Any]]
    subject: str | None
    search: Search = "mondrian"
    loss: Measure = "ncp"
    presence: Presence | None = None
    outliers: float = 0.0  # Mondrian: the share of records that may be suppressed for the others to lose less


def grouping(wanted: Wanted, columns: Columns) -> Treatment:
    """The treatment; raises `MisfitError` where what is declared does not fit the columns."""
    _check(wanted, columns)
    if wanted.presence is not None and wanted.search == "mondrian":
        _check_names(wanted, columns)
    names = wanted.quasi_identifiers

    def form(whole: Batch) -> Formed:
        try:
            found = _searched(wanted, whole, columns)
        except MisfitError as misfit:
            if misfit.at != ("population",) or not whole.window:
                raise Fatal(f"no groups can be looked for: {misfit.wrong}; {misfit.right}") from misfit
            found = None  # a population that still grows may lack some for a while
        if isinstance(found, Formed):
            return found
        if not whole.window:
            raise Fatal(f"no groups keep what is asked for: {found}")
        nothing = pl.repeat(None, whole.frame.height, dtype=pl.String, eager=True)
        held = pl.repeat(False, whole.frame.height, dtype=pl.Boolean, eager=True)
        return Formed(pl.DataFrame([nothing.alias(name) for name in names]), held)

    def number(parts: Iterable[pl.DataFrame]) -> Numbered:
        found = _by_boxes(wanted, parts, columns)
        if isinstance(found, Infeasible):
            raise Fatal(f"no groups keep what is asked for: {found}")
        return found

    looks = dict.fromkeys([*names, *wanted.sensitive, *([wanted.subject] if wanted.subject else [])])
    outputs: dict[str, ColumnType] = dict.fromkeys(names, "string")
    beside = []
    if wanted.presence is not None:
        at = ("presence", "population", "table")
        beside = [Beside(wanted.presence.population.table, {name: columns[name] for name in names}, at)]
    in_parts = number if wanted.search == "mondrian" and wanted.presence is None else None
    keeps = {name: "t" if close else "l" for name, (_, close) in wanted.sensitive.items()}
    return Treatment(outputs, form=form, looks=tuple(looks), beside=tuple(beside), number=in_parts, keeps=keeps)


def _searched(wanted: Wanted, whole: Batch, columns: Columns) -> Formed | Infeasible | Unreachable:
    """The table in groups, or why there are none."""
    if wanted.search == "full_domain":
        return _by_levels(wanted, whole, columns)
    found = _by_boxes(wanted, (whole.frame,), columns, _known(wanted, whole))
    if isinstance(found, Infeasible):
        return found
    return Formed(*found.published(0, whole.frame.height), presence=found.presence)


def _known(wanted: Wanted, whole: Batch) -> tuple[pl.DataFrame, tuple[float, float]] | None:
    """Everyone of the population, and the bounds of their presence, where groups have to keep some."""
    if wanted.presence is None:
        return None
    (least, most), everyone = wanted.presence.delta, whole.others[wanted.presence.population.table]
    if whole.frame.height:
        return everyone.select(wanted.quasi_identifiers), (least, most)
    if least > 0 and everyone.height and not whole.window:
        # Enforces: what has no records tells of everyone that he is not in it
        raise Fatal(
            f"no groups keep what is asked for: presence of at least {least:g} can't be kept: nobody of the "
            f"{everyone.height:,} people of the population is in the table; give 0"
        )
    return None


def _by_boxes(
    wanted: Wanted,
    parts: Iterable[pl.DataFrame],
    columns: Columns,
    population: tuple[pl.DataFrame, tuple[float, float]] | None = None,
) -> Numbered | Infeasible:
    grains = {name: wanted.grains.get(name, Grain()) for name in wanted.quasi_identifiers}
    asked = wanted.k, wanted.sensitive, wanted.subject, wanted.limit, wanted.outliers
    return numbered(parts, columns, grains, *asked, population)


def _by_levels(wanted: Wanted, whole: Batch, columns: Columns) -> Formed | Unreachable:
    table, names = whole.frame, wanted.quasi_identifiers
    population, delta = _known(wanted, whole) or (None, None)
    everyone = table if population is None else pl.concat([table.select(names), population])
    kinds = {name: columns[name].type for name in names}
    axes = {
        name: dimension(columns[name], wanted.grains.get(name, Grain()), known)
        for name, known in surveys(everyone, kinds).items()
    }
    close = [one for _, several in wanted.sensitive.values() for one in several]
    asked = Demands(
        wanted.k,
        wanted.subject,
        tuple(one for several, _ in wanted.sensitive.values() for one in several),
        tuple(replace(one, order=whole_order(table[one.column], one.order)) for one in close),
        delta,
    )
    return generalized(table, axes, wanted.grains, asked, wanted.limit, wanted.loss, population)


def _check(wanted: Wanted, columns: Columns) -> None:
    quasi_identifiers, grains, sensitive = wanted.quasi_identifiers, wanted.grains, wanted.sensitive
    for i, name in enumerate(quasi_identifiers):
        column = column_of(columns, name, GROUPED, "quasi_identifiers", i)
        _check_grain(column, grains.get(name, Grain()), name, wanted.search)
    if len(set(quasi_identifiers)) != len(quasi_identifiers):
        raise MisfitError("names a column twice", "name each quasi-identifier once", ("quasi_identifiers",))
    for name in grains.keys() - set(quasi_identifiers):
        right = f"quasi-identifiers are {', '.join(quasi_identifiers)}"
        raise MisfitError(f"{name} is no quasi-identifier", right, ("grain", name))
    for name in sensitive:
        column_of(columns, name, COUNTED, "l")
        if name in quasi_identifiers:
            raise MisfitError(f"{name} is a quasi-identifier and sensitive", "make it one of them", ("l",))
    subject = wanted.subject
    if subject is not None:
        column_of(columns, subject, COUNTED, "subject")
        if subject in quasi_identifiers:
            raise MisfitError(f"{subject} is a quasi-identifier", "the subject is a column of its own", ("subject",))


def _check_names(wanted: Wanted, columns: Columns) -> None:
    """What groups hold is read from their names, so each name of a hierarchy has to stand for the same everywhere."""
    for name, grain in wanted.grains.items():
        if grain.rows is not None and unclear(dimension(columns[name], grain, Survey())):
            raise MisfitError(
                "has a name that stands for several groups, or is that of null or of everything",
                "give each group a name of its own",
                ("grain", name, "hierarchy"),
            )


def _check_grain(column: Column, grain: Grain, name: str, search: Search) -> None:
    for option in ("steps", "units"):
        if getattr(grain, option) is not None and search != "full_domain":
            right = f"give {option[:-1]}, or search: full_domain"
            raise MisfitError("are levels, and this search has none", right, ("grain", name, option))
    try:
        check_steps(grain)
        dimension(column, grain, survey(pl.Series([], dtype=column.kind.polars), column.type))
    except MisfitError as misfit:
        own = tuple(f"{one}s" if getattr(grain, f"{one}s", None) else one for one in misfit.at)
        raise MisfitError(misfit.wrong, misfit.right, ("grain", name, *own)) from None
