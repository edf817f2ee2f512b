"""One quasi-identifier as an ordered domain of integer codes, and what an interval of codes is called when published.

Numbers lie on a grid whose lines are multiples of a step, moments on a grid of calendar units, categories on the leaves
of a hierarchy in the order of the tree, or else side by side in their own order. A group's bounds are lines of the
grid, never values found in the data. Code 0 is null, in every domain. The published column is text:

- `30..39` from 30 to 39, both inside (whole numbers and moments: `2020-03..2020-05`, `2020-Q1`, `1990s..2010s`);
  `30..<40` from 30 to below 40 (float64, decimal); `39` where the cell is one value;
- `<30`, `>=100`, `*` where a value lies outside the declared or surveyed range;
- the name of the narrowest group of the hierarchy that has all values, or the values themselves: `blue|green`; `*` for
  all of them, for too many to be named, and where a value is not known to the hierarchy;
- null where all values are null; `null|` before the rest where some are: `null|30..39`.

Knows columns and their declarations; knows no class and no guarantee.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from processors.anonymize.text import within_years
from processors.privacy.domains.points import Codes, Ints, Marks
from processors.privacy.domains.scale import UNITS, Unit, moments, numbers
from processors.privacy.domains.taxonomy import Flat, Taxonomy
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Column, Strict

Floats = NDArray[np.float64]


class Grain(Strict):
    """How finely a quasi-identifier may be published; what is not said is derived from the range of the values."""

    step: int | float | str | None = Field(
        default=None,
        description="Numbers: groups begin and end at multiples of it. Else 1, 2 or 5 times a power of 10.",
    )
    min: int | float | str | None = Field(default=None, description="Numbers: the least value that is told apart.")
    max: int | float | str | None = Field(default=None, description="Numbers: the greatest value that is told apart.")
    steps: list[int | float | str] | None = Field(
        default=None,
        min_length=1,
        description="Numbers, full_domain: the step of each level, every one a multiple of the one before. Else step, "
        "doubled level by level.",
    )
    unit: Unit | None = Field(default=None, description="Moments: the calendar unit that groups consist of.")
    units: list[Unit] | None = Field(
        default=None,
        min_length=1,
        description="Moments, full_domain: the calendar unit of each level, each longer than the one before. Else unit "
        "and all that are longer.",
    )
    hierarchy: str | None = Field(
        default=None, description="Categories: a CSV file in ARX's format: the value, then its groups, each coarser."
    )
    rows: list[list[str]] | None = Field(
        default=None, description="What the file of the hierarchy holds: a released task has it so."
    )

    @model_validator(mode="after")
    def _one_form(self) -> Grain:
        forms = [self.step, self.steps, self.unit, self.units, self.hierarchy, self.rows]
        if sum(form is not None for form in forms) > 1:
            right = "give one of step, steps, unit, units, hierarchy"
            raise MisfitError("says in several ways how values are grouped", right)
        if (self.min is not None or self.max is not None) and any(form is not None for form in forms[2:]):
            raise MisfitError("has bounds for what is no number", "leave min and max out")
        for fine, coarse in pairwise(self.units or ()):
            if UNITS.index(fine) >= UNITS.index(coarse):
                raise MisfitError(
                    f"has {coarse} after {fine}", f"give them in the order {', '.join(UNITS)}", ("units",)
                )
        return self

    @property
    def finest(self) -> tuple[Any, Unit | None]:
        """The step and the unit that nothing is published finer than."""
        return self.steps[0] if self.steps else self.step, self.units[0] if self.units else self.unit


@dataclass(frozen=True)
class Survey:
    """What a column holds, as far as a domain needs to know: its range, or its distinct values."""

    least: Any = None
    most: Any = None
    values: pl.Series | None = None

    def joined(self, other: Survey) -> Survey:
        """Of both together: a table may be surveyed in parts."""
        least = [one for one in (self.least, other.least) if one is not None]
        most = [one for one in (self.most, other.most) if one is not None]
        values = [one for one in (self.values, other.values) if one is not None]
        return Survey(
            min(least, default=None), max(most, default=None), pl.concat(values).unique().sort() if values else None
        )


def survey(values: pl.Series, kind: ColumnType) -> Survey:
    """What there is to know of these values."""
    return surveys(values.alias("v").to_frame(), {"v": kind})["v"]


def surveys(frame: pl.DataFrame, kinds: Mapping[str, ColumnType]) -> dict[str, Survey]:
    """Of several columns at once. NaN counts as null, so does a moment outside the years 1 to 9999."""
    asked = []
    for name, kind in kinds.items():
        value = pl.col(name)
        if kind in ("string", "bool"):
            asked.append(value.unique().drop_nulls().sort().implode().alias(name))
            continue
        if kind == "float64":
            value = pl.when(value.is_finite()).then(value)
        elif kind in ("date", "timestamp"):
            value = within_years(value, kind)
        asked.append(pl.struct(value.min().alias("least"), value.max().alias("most")).alias(name))
    found = frame.select(asked)
    return {
        name: Survey(values=found[name][0]) if kind in ("string", "bool") else Survey(**found[name][0])
        for name, kind in kinds.items()
    }


def encode(dimensions: Mapping[str, Dimension], frame: pl.DataFrame) -> list[Codes]:
    """The codes of several columns at once, in the order of the dimensions."""
    codes = frame.select(one.code(pl.col(name)).alias(name) for name, one in dimensions.items())
    return [column.to_numpy() for column in codes.get_columns()]


class Dimension(Protocol):
    """One quasi-identifier of one table; what `Mondrian` needs of it is `Axis`."""

    @property
    def size(self) -> int:
        """Codes are below it; 0 is null."""
        ...

    @property
    def tree(self) -> bool: ...

    def code(self, value: pl.Expr) -> pl.Expr:
        """The code of a value, in the smallest type. No value is refused: what is not known has a code too."""
        ...

    def encode(self, values: pl.Series) -> Codes:
        """The codes of a column; for several columns `encode` is faster."""
        ...

    def width(self, low: Ints, high: Ints) -> Floats: ...

    def depth(self, below: Ints, above: Ints) -> Ints: ...

    def names(self, low: Ints, high: Ints, nulls: Marks) -> pl.Series:
        """What groups are called: of each the interval of codes, 0 to 0 if it has no value, and if it has nulls."""
        ...

    def loss(self, low: Ints, high: Ints) -> Floats:
        """NCP of a cell of each group, as published."""
        ...


def dimension(column: Column, grain: Grain, found: Survey) -> Dimension:
    """The domain of a column; raises `MisfitError` where the grain does not fit the column."""
    _check(column, grain)
    if grain.rows is not None:
        return Taxonomy.of(grain.rows, column.type)
    if column.type in ("date", "timestamp"):
        return moments(column.type, grain.finest[1], found.least, found.most)
    if column.type in ("string", "bool"):
        values = found.values if found.values is not None else pl.Series([], dtype=pl.String)
        return Flat(column.type, values.cast(pl.String).to_list())
    least, most = (b if b is not None else a for a, b in ((found.least, grain.min), (found.most, grain.max)))
    return numbers(column, grain.finest[0], least, most)


def _check(column: Column, grain: Grain) -> None:
    if column.type not in _FITS:
        raise MisfitError(f"is of type {column.type}", f"quasi-identifiers are {', '.join(sorted(_FITS))}")
    fits = _FITS[column.type]
    given = {one for one in Grain.model_fields if getattr(grain, one) is not None}
    for one in sorted(given - fits):
        right = ", ".join(sorted(fits - {"rows"})) or "nothing"
        raise MisfitError(f"does not fit a column of type {column.type}", f"give {right}", (one,))
    if grain.hierarchy is not None:
        raise MisfitError("names a hierarchy that was not read", "release the task, which reads it", ("hierarchy",))


_NUMBER = frozenset({"step", "steps", "min", "max"})
_MOMENT = frozenset({"unit", "units"})
_TREE = frozenset({"hierarchy", "rows"})
_FITS: dict[ColumnType, frozenset[str]] = {
    "int64": _NUMBER | _TREE,
    "float64": _NUMBER,
    "decimal": _NUMBER,
    "date": _MOMENT | _TREE,
    "timestamp": _MOMENT,
    "string": _TREE,
    "bool": _TREE,
}
