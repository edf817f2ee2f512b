"""Forms the groups that `generalize` guarantees: what a task declares, and the treatment of a whole table it becomes.

Always holds: what leaves keeps every k, l and t that was asked for, or nothing leaves. A bounded run whose table can't
keep them halts and says what would be needed; of a table that still grows nothing is shown until it can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.protocol import Batch, Columns, Formed, Treatment, column_of
from processors.privacy import requested
from processors.privacy.classes import ascending, codes_of
from processors.privacy.dimension import Grain, dimension, encode, survey, surveys
from processors.privacy.guard import Sensitive
from processors.privacy.mondrian import SUPPRESSED, classes
from processors.privacy.points import Codes
from processors.privacy.shortfall import Infeasible
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.errors import Fatal
from schemas.task.model import Strict

GROUPED: frozenset[ColumnType] = frozenset({"string", "bool", "int64", "float64", "decimal", "date", "timestamp"})
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


def grouping(
    quasi_identifiers: list[str],
    k: int,
    limit: float,
    grains: Mapping[str, Grain],
    sensitive: Mapping[str, tuple[Any, Any]],
    subject: str | None,
    columns: Columns,
) -> Treatment:
    """The treatment; raises `MisfitError` where what is declared does not fit the columns."""
    _check(quasi_identifiers, grains, sensitive, subject, columns)

    def form(whole: Batch) -> Formed:
        table = whole.frame
        kinds = {name: columns[name].type for name in quasi_identifiers}
        axes = {
            name: dimension(columns[name], grains.get(name, Grain()), known)
            for name, known in surveys(table, kinds).items()
        }
        found = classes(
            list(axes.values()),
            encode(axes, table),
            k,
            subject=None if subject is None else _ranks(table[subject]),
            sensitive=[_sensitive(table[name], name, *wanted) for name, wanted in sensitive.items()],
            suppression_limit=limit,
        )
        if isinstance(found, Infeasible):
            if not whole.window:
                raise Fatal(f"no groups keep what is asked for: {found}")
            nothing = pl.repeat(None, table.height, dtype=pl.String, eager=True)
            held = pl.repeat(False, table.height, dtype=pl.Boolean, eager=True)
            return Formed(pl.DataFrame([nothing.alias(name) for name in quasi_identifiers]), held)
        texts = found.published(list(axes.values()))
        return Formed(
            pl.DataFrame([text.alias(name) for text, name in zip(texts, quasi_identifiers, strict=True)]),
            pl.Series(found.of_row != SUPPRESSED),
        )

    looks = dict.fromkeys([*quasi_identifiers, *sensitive, *([subject] if subject else [])])
    outputs: dict[str, ColumnType] = dict.fromkeys(quasi_identifiers, "string")
    return Treatment(outputs, form=form, looks=tuple(looks))


def _check(
    quasi_identifiers: list[str],
    grains: Mapping[str, Grain],
    sensitive: Mapping[str, Any],
    subject: str | None,
    columns: Columns,
) -> None:
    for i, name in enumerate(quasi_identifiers):
        column = column_of(columns, name, GROUPED, "quasi_identifiers", i)
        grain = grains.get(name, Grain())
        try:
            dimension(column, grain, survey(pl.Series([], dtype=column.kind.polars), column.type))
        except MisfitError as misfit:
            raise MisfitError(misfit.wrong, misfit.right, ("grain", name, *misfit.at)) from None
    if len(set(quasi_identifiers)) != len(quasi_identifiers):
        raise MisfitError("names a column twice", "name each quasi-identifier once", ("quasi_identifiers",))
    for name in grains.keys() - set(quasi_identifiers):
        right = f"quasi-identifiers are {', '.join(quasi_identifiers)}"
        raise MisfitError(f"{name} is no quasi-identifier", right, ("grain", name))
    for name in sensitive:
        column_of(columns, name, COUNTED, "l")
        if name in quasi_identifiers:
            raise MisfitError(f"{name} is a quasi-identifier and sensitive", "make it one of them", ("l",))
    if subject is not None:
        column_of(columns, subject, COUNTED, "subject")
        if subject in quasi_identifiers:
            raise MisfitError(f"{subject} is a quasi-identifier", "the subject is a column of its own", ("subject",))


def _ranks(values: pl.Series) -> Codes:
    """Equal values have equal numbers; records without a subject are all of one."""
    codes: Codes = values.rank("dense").fill_null(0).cast(pl.UInt32).to_numpy()
    return codes


def _sensitive(values: pl.Series, name: str, diversity: Any, closeness: Any) -> Sensitive:
    declared = next((one.order for one in closeness if one.order is not None), None)
    domain = ascending(values)
    if declared is not None:
        ordered = pl.Series([None, *declared], dtype=pl.String).cast(values.dtype)
        others = domain.filter(~domain.is_in(ordered.implode(), nulls_equal=True))
        domain = pl.concat([ordered, others])
    codes = codes_of(values, domain).to_numpy().astype(np.int32)
    return Sensitive(name, codes, max(1, len(domain)), diversity, closeness)
