"""Classes of a release, and the sensitive values of every class one after another.

Always holds: rows are in one class if they are equal in every quasi-identifier, a null being equal to a null; without
quasi-identifiers all rows are one class. Rows are grouped once for each question; what follows works on the groups,
which a release of guarantee k has at most a k-th as many of as rows. Knows no guarantee and no threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

Frame = pl.DataFrame | pl.LazyFrame  # a scan is grouped piece by piece, so memory follows its groups, not its rows
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Number = TypeVar("Number", np.int64, np.float64)
_ROWS, _VALUE, _SUBJECT, _CODE = "n", "v", "s", "c"


@dataclass(frozen=True)
class Classes:
    """Each class once: its quasi-identifiers, how many rows it has and, where there is a subject column, subjects."""

    keys: pl.DataFrame
    rows: pl.Series
    subjects: pl.Series | None


def group_rows(frame: Frame, quasi_identifiers: Sequence[str], subject: str | None = None) -> Classes:
    """The classes of a frame, in no order.

    Rows without a subject count as one subject, however many they are: nothing shows that they are several.
    """
    keys = keys_of(quasi_identifiers)
    if subject is None:
        counted = _counted(frame.lazy().select(**keys), list(keys))
        return Classes(_named(counted, quasi_identifiers), counted[_ROWS], None)
    pairs = _counted(frame.lazy().select(**keys, **{_SUBJECT: pl.col(subject)}), [*keys, _SUBJECT])
    counted = pairs.group_by(*keys).agg(pl.col(_ROWS).sum(), pl.len().cast(pl.Int64).alias(_SUBJECT))
    return Classes(_named(counted, quasi_identifiers), counted[_ROWS], counted[_SUBJECT])


@dataclass(frozen=True)
class Segments:
    """The distinct sensitive values of every class with their numbers of rows; segments lie side by side.

    `values` are codes, positions in `domain`, ascending within a segment; `starts` is where each segment begins.
    """

    classes: pl.DataFrame
    domain: pl.Series
    values: Integers
    counts: Integers
    starts: Integers

    @cached_property
    def distinct(self) -> Integers:
        """How many values each class has."""
        return np.diff(self.starts, append=len(self.values))

    @cached_property
    def sizes(self) -> Integers:
        """How many rows each class has."""
        return self.sums(self.counts)

    @cached_property
    def spread(self) -> Integers:
        """The size of the class at each of its values."""
        return np.repeat(self.sizes, self.distinct)

    @cached_property
    def whole(self) -> Integers:
        """How many rows of the release have each value of the domain."""
        return np.bincount(self.values, weights=self.counts, minlength=len(self.domain)).astype(np.int64)

    def sums(self, numbers: NDArray[Number]) -> NDArray[Number]:
        """The sum over each segment."""
        return cast(NDArray[Number], np.add.reduceat(numbers, self.starts)) if len(self.starts) else numbers[:0]

    def most(self, numbers: NDArray[Number]) -> NDArray[Number]:
        """The largest of each segment."""
        return cast(NDArray[Number], np.maximum.reduceat(numbers, self.starts)) if len(self.starts) else numbers[:0]


def segments_of(
    frame: Frame, quasi_identifiers: Sequence[str], sensitive: str, domain: pl.Series | None = None
) -> Segments:
    """The sensitive values by class; a null is a value of its own.

    `domain` has every value once, in its order; without it, it is the values found, nulls first, then ascending.
    """
    keys = keys_of(quasi_identifiers)
    cells = _counted(frame.lazy().select(**keys, **{_VALUE: pl.col(sensitive)}), [*keys, _VALUE])
    if domain is None:
        domain = ascending(cells[_VALUE])
    cells = cells.with_columns(codes_of(cells[_VALUE], domain)).sort(_CODE)
    classes = cells.group_by(*keys).agg(_CODE, _ROWS)
    lengths = classes[_CODE].list.len().cast(pl.Int64).to_numpy()
    return Segments(
        _named(classes, quasi_identifiers),
        domain,
        classes[_CODE].list.explode(empty_as_null=False).to_numpy(),
        classes[_ROWS].list.explode(empty_as_null=False).to_numpy(),
        np.cumsum(lengths) - lengths,
    )


def ascending(values: pl.Series) -> pl.Series:
    """Every value once, nulls first."""
    return values.unique().sort(nulls_last=False)


def codes_of(values: pl.Series, domain: pl.Series) -> pl.Series:
    """Where each value stands in the domain, as Int64; a value that does not is a ValueError."""
    places = domain.to_frame(_VALUE).with_row_index(_CODE)
    found = values.alias(_VALUE).to_frame().join(places, on=_VALUE, how="left", nulls_equal=True, maintain_order="left")
    if found[_CODE].null_count():
        raise ValueError("a sensitive value is not in the domain")
    return found[_CODE].cast(pl.Int64)


def keys_of(quasi_identifiers: Sequence[str]) -> dict[str, pl.Expr]:
    """Under names that clash with nothing."""
    return {f"q{i}": pl.col(name) for i, name in enumerate(quasi_identifiers)} or {"q": pl.repeat(0, pl.len())}


def _counted(rows: pl.LazyFrame, keys: list[str]) -> pl.DataFrame:
    return rows.group_by(keys).agg(pl.len().cast(pl.Int64).alias(_ROWS)).collect(engine="streaming")


def _named(classes: pl.DataFrame, quasi_identifiers: Sequence[str]) -> pl.DataFrame:
    return classes.select(pl.col(f"q{i}").alias(name) for i, name in enumerate(quasi_identifiers))
