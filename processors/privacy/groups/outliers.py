"""Outliers that widen a class for all others in it: which to leave out so that the table loses less.

A class is cut back at one end of one dimension, by all its rows with the outermost value there. Always holds: a row is
left out only if the others of its class are spared more than TWICE what it loses, by the NCP of that dimension alone;
what remains keeps k and l; no more rows than `most` are left out, the best first. t is no matter here: it is measured
against all rows, so leaving out some would move what every class is measured by. The order of rows does not matter.
Knows codes, not values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from processors.privacy.domains.dimension import Dimension
from processors.privacy.domains.points import SUPPRESSED, Codes, Ints, Marks
from processors.privacy.groups.guard import Guard
from processors.privacy.measured.tally import changes

TWICE: Final = 2.0
FAR: Final = np.iinfo(np.int64).max
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ends:
    """The best end of each class, if there is one: which rows lie there, what that spares and what it costs."""

    rows: Marks
    spared: Floats
    cost: Floats


def without_outliers(
    of_row: NDArray[np.int32],
    dimensions: Sequence[Dimension],
    codes: Sequence[Codes],
    guard: Guard,
    others: Sequence[Codes],
    most: int,
) -> NDArray[np.int32]:
    """The class of each row, SUPPRESSED also of outliers; `others` are what the guard looks at, of all rows."""
    left = of_row.copy()
    classes = np.unique(of_row[of_row != SUPPRESSED])
    while most > 0 and len(classes):
        rows = np.flatnonzero(np.isin(left, classes))
        subject = others[0][rows] if guard.subjects else rows
        rows = rows[np.lexsort((subject, left[rows]))]
        starts = changes(left[rows])
        ends = _ends(dimensions, [column[rows].astype(np.int64) for column in codes], starts, guard.k)
        sizes = np.diff(starts, append=len(rows))
        gone = np.add.reduceat(ends.rows, starts, dtype=np.int64)
        worth = np.flatnonzero(gone)
        worth = worth[_kept(guard, [one[rows] for one in others], ends.rows, starts, sizes, worth)]
        order = worth[np.argsort(-(ends.spared[worth] - ends.cost[worth]) / gone[worth], kind="stable")]
        taken = order[np.cumsum(gone[order]) <= most]
        out = np.zeros(len(starts), dtype=np.bool_)
        out[taken] = True
        left[rows[ends.rows & np.repeat(out, sizes)]] = SUPPRESSED
        most -= int(gone[taken].sum())
        classes = of_row[rows[starts[taken]]]
    return left


def _ends(dimensions: Sequence[Dimension], codes: Sequence[Ints], starts: Ints, k: int) -> Ends:
    """Rows lie class after class; a null lies at no end. An end that isn't worth it, or leaves no k rows, is none."""
    sizes = np.diff(starts, append=len(codes[0]))
    boxes = [bounds(column, starts) for column in codes]
    losses = [one.loss(low, high) for one, (low, high) in zip(dimensions, boxes, strict=True)]
    alone = 1 - sum(losses, start=np.zeros(len(starts))) / len(dimensions)  # what a row of the class loses if left out
    best = Ends(np.zeros(len(codes[0]), dtype=np.bool_), np.zeros(len(starts)), np.zeros(len(starts)))
    for one, column, (low, high), loss in zip(dimensions, codes, boxes, losses, strict=True):
        for end in (low, high):
            there = (column == np.repeat(end, sizes)) & (column != 0)
            gone = np.add.reduceat(there, starts, dtype=np.int64)
            inner = bounds(np.where(there, 0, column), starts)
            narrower = np.where(low < high, loss - one.loss(*inner), 0.0)
            spared, cost = (sizes - gone) * narrower / len(dimensions), gone * alone
            better = (sizes - gone >= k) & (spared > TWICE * cost) & (spared - cost > best.spared - best.cost)
            rows = np.where(np.repeat(better, sizes), there, best.rows)
            best = Ends(rows, np.where(better, spared, best.spared), np.where(better, cost, best.cost))
    return best


def bounds(column: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """Of the codes that aren't null; 0 and 0 where all are."""
    high = np.maximum.reduceat(column, starts)
    low = np.minimum.reduceat(np.where(column == 0, FAR, column), starts)
    return np.where(high == 0, 0, low), high


def boxed(codes: Sequence[Ints], starts: Ints) -> tuple[Ints, Ints, Marks]:
    """By dimension and class: the bounds, and whether there are nulls."""
    boxes = [bounds(column, starts) for column in codes]
    low, high = (np.stack([box[side] for box in boxes]) for side in (0, 1))
    return low, high, np.stack([np.logical_or.reduceat(column == 0, starts) for column in codes])


def _kept(guard: Guard, others: Sequence[Codes], ends: Marks, starts: Ints, sizes: Ints, worth: Ints) -> Marks:
    """Which of these classes keep the guarantee without their ends."""
    if guard.rows_alone or not len(worth):
        return np.ones(len(worth), dtype=np.bool_)
    number = np.full(len(starts), -1, dtype=np.int32)
    number[worth] = np.arange(len(worth), dtype=np.int32)
    group = np.repeat(number, sizes)
    inside = np.flatnonzero((group >= 0) & ~ends)
    ones = np.ones(len(inside), dtype=np.int64)
    return guard.holds(group[inside], len(worth), ones, [one[inside] for one in others])
