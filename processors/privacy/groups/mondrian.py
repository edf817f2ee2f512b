"""Classes of a table by strict multidimensional Mondrian, or why there can be none.

Always holds: every class keeps k (distinct subjects where a subject is given, else rows), every l and every t, or there
are no classes at all; rows are left out only where the table as a whole would not keep an l, as few as that needs, or
as outliers where these may be left out (outliers.py), and never more than the limits allow. Knows codes; `dimension`
makes them of values, and texts of the boxes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from processors.privacy.domains.dimension import Dimension
from processors.privacy.domains.points import CHUNK, SUPPRESSED, Codes, Ints, Marks, collapsed, ordered
from processors.privacy.groups.boxes import Boxes, Cutter
from processors.privacy.groups.guard import Guard, Guarded, Sensitive
from processors.privacy.groups.outliers import boxed, without_outliers
from processors.privacy.groups.shortfall import Infeasible, capped, shortfalls
from processors.privacy.guarantees.enough import SLACK
from processors.privacy.measured.tally import changes


@dataclass(frozen=True)
class Classes:
    """`of_row` is the class of each row, SUPPRESSED if it has none; the boxes are by dimension and class.

    `low` and `high` are the bounds of the codes that aren't null, 0 and 0 if all are; `nulls` tells if some are.
    `presence`: the least and the most share of a class's people in the population that the table has, if one is given.
    """

    of_row: NDArray[np.int32]
    rows: Ints
    low: NDArray[np.int32]
    high: NDArray[np.int32]
    nulls: Marks
    presence: tuple[float, float] | None = None

    @property
    def suppressed(self) -> int:
        return len(self.of_row) - int(self.rows.sum())

    def names(self, dimensions: Sequence[Dimension]) -> list[pl.Series]:
        """What each class is called in each dimension, as text."""
        return [one.names(self.low[d], self.high[d], self.nulls[d]) for d, one in enumerate(dimensions)]

    def published(self, dimensions: Sequence[Dimension]) -> list[pl.Series]:
        """The quasi-identifiers as text, row by row; a suppressed row has none."""
        places = pl.Series(self.of_row)
        places = places.set(places == SUPPRESSED, None).cast(pl.UInt32)
        return [names.gather(places) for names in self.names(dimensions)]

    def ncp(self, dimensions: Sequence[Dimension]) -> float:
        """The average loss of a cell as published; a suppressed row loses all."""
        if not len(self.of_row):
            return 0.0
        lost = sum(float(one.loss(self.low[d], self.high[d]) @ self.rows) for d, one in enumerate(dimensions))
        return (lost / len(dimensions) + self.suppressed) / len(self.of_row)


def classes(
    dimensions: Sequence[Dimension],
    codes: Sequence[Codes],
    k: int,
    *,
    subject: Codes | None = None,
    sensitive: Sequence[Sensitive] = (),
    suppression_limit: float = 0.0,
    outliers: float = 0.0,
) -> Classes | Infeasible:
    """The classes of rows given by a column of codes for each dimension; `subject` are codes of the subjects.

    `outliers`: up to which share of the rows may be left out for the others to lose less.
    """
    if k < 1 or not dimensions or len(codes) != len(dimensions):
        raise ValueError("k is at least 1, and there is a column of codes for each of one dimension or more")
    rows = len(codes[0])
    lacking = tuple(shortfalls(k, rows, distinct(subject), sensitive)) if rows else ()
    if not lacking:
        found = _classes(dimensions, codes, k, subject, sensitive, None)
        return _trimmed(found, dimensions, codes, k, subject, sensitive, outliers)
    kept = spread(codes, sensitive)
    left = int(kept.sum())
    inside = None if subject is None else subject[kept]
    fewer = [replace(one, codes=one.codes[kept]) for one in sensitive]
    if not left or any(shortfalls(k, left, distinct(inside), fewer)):
        return Infeasible(lacking)
    if rows - left > suppression_limit * rows:
        return Infeasible(lacking, (rows - left) / rows)
    found = _classes(dimensions, [column[kept] for column in codes], k, inside, fewer, kept)
    return _trimmed(found, dimensions, codes, k, subject, sensitive, outliers)


def _trimmed(
    found: Classes,
    dimensions: Sequence[Dimension],
    codes: Sequence[Codes],
    k: int,
    subject: Codes | None,
    sensitive: Sequence[Sensitive],
    share: float,
) -> Classes:
    """Without outliers, if they are few enough; each class as narrow as what is left of it."""
    of_row = trimmed(found.of_row, dimensions, codes, k, subject, sensitive, share)
    if (of_row == found.of_row).all():
        return found
    rows = np.flatnonzero(of_row != SUPPRESSED)
    rows = rows[np.argsort(of_row[rows], kind="stable")]
    starts = changes(of_row[rows])
    low, high, nulls = boxed([column[rows].astype(np.int64) for column in codes], starts)
    return Classes(of_row, np.diff(starts, append=len(rows)), low.astype(np.int32), high.astype(np.int32), nulls)


def trimmed(
    of_row: NDArray[np.int32],
    dimensions: Sequence[Dimension],
    codes: Sequence[Codes],
    k: int,
    subject: Codes | None,
    sensitive: Sequence[Sensitive],
    share: float,
) -> NDArray[np.int32]:
    """The class of each row, of outliers none, if up to such a share of all rows may have none."""
    most = math.floor(share * len(of_row) + SLACK) - int(np.count_nonzero(of_row == SUPPRESSED))
    if most <= 0 or any(one.closeness for one in sensitive):
        return of_row
    diverse = tuple(Guarded(one.name, one.size, one.diversity, (), np.zeros(0, dtype=np.int64)) for one in sensitive)
    others = [*([] if subject is None else [subject]), *(one.codes for one in sensitive)]
    return without_outliers(of_row, dimensions, codes, Guard(k, subject is not None, diverse), others, most)


def distinct(subject: Codes | None) -> int | None:
    return None if subject is None else len(np.unique(subject))


def spread(codes: Sequence[Codes], sensitive: Sequence[Sensitive]) -> Marks:
    """The rows that stay if the most frequent sensitive values become as rare as l asks for.

    Of each value they are spread evenly over the rows in the order of their codes, so that no group loses all.
    """
    kept = np.ones(len(codes[0]), dtype=np.bool_)
    order = ordered(codes)
    for one, most in capped(sensitive):
        values = one.codes[order]
        counts = np.bincount(values, minlength=one.size)
        for value in np.flatnonzero(counts > most):
            own = order[values == value]
            staying = (np.arange(len(own), dtype=np.int64) * most) // len(own)
            kept[own[np.diff(staying, append=most) == 0]] = False
    return kept


def _classes(
    dimensions: Sequence[Dimension],
    codes: Sequence[Codes],
    k: int,
    subject: Codes | None,
    sensitive: Sequence[Sensitive],
    kept: Marks | None,
) -> Classes:
    if not len(codes[0]):
        return _told(Boxes(np.zeros(0, dtype=np.int32)), np.zeros(0, dtype=np.int32), len(dimensions), kept)
    guard, others = guarded(k, subject, sensitive)
    points = collapsed(codes, [one.size for one in dimensions], others)
    boxes = Cutter(dimensions, points.lanes, guard).boxes(points.points)
    return _told(boxes, points.each_row(boxes.of_point), len(dimensions), kept)


def guarded(k: int, subject: Codes | None, sensitive: Sequence[Sensitive]) -> tuple[Guard, list[NDArray[np.int32]]]:
    """What classes of these rows have to keep, and the columns by which it can be told."""
    several = subject is not None and distinct(subject) != len(subject)  # else subjects are rows
    others = [one.codes.astype(np.int32) for one in sensitive]
    if subject is not None and several:
        others.insert(0, np.unique(subject, return_inverse=True)[1].astype(np.int32))
    asked = tuple(
        Guarded(one.name, one.size, one.diversity, one.closeness, np.bincount(one.codes, minlength=one.size))
        for one in sensitive
    )
    return Guard(k, several, asked), others


def _told(boxes: Boxes, of_row: NDArray[np.int32], dimensions: int, kept: Marks | None) -> Classes:
    rows = np.zeros(boxes.found, dtype=np.int64)
    for start in range(0, len(of_row), CHUNK):
        rows += np.bincount(of_row[start : start + CHUNK], minlength=boxes.found)
    if kept is not None:
        whole = np.full(len(kept), SUPPRESSED, dtype=np.int32)
        whole[kept] = of_row
        of_row = whole
    none = np.zeros((dimensions, 0), dtype=np.int32)
    low, high = (np.concatenate([none, *side], axis=1, dtype=np.int32) for side in (boxes.low, boxes.high))
    return Classes(of_row, rows, low, high, np.concatenate([none.astype(np.bool_), *boxes.nulls], axis=1))
