"""Strict multidimensional Mondrian: rows fall into boxes of quasi-identifiers, each as small as its guarantees allow.

A part of the table is cut along its widest dimension near the median; where that leaves a half that doesn't keep the
guarantees, along the next one; where none can be cut, the part is a class (LeFevre and others, 2006). Always holds:
every row is in one class or suppressed, a row's codes lie in the box of its class, every class keeps what is asked,
and the order of the rows does not matter. All parts are cut at once; a table too large for that is halved until its
pieces are not. Knows codes, not values; whoever publishes says what a box is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from processors.privacy.domains.points import Codes, Ints, Lane, Marks, Points, together
from processors.privacy.groups.cut import Axis, Floats, cuts, each, widths
from processors.privacy.groups.guard import Guard
from processors.privacy.measured.tally import ragged

AT_ONCE: Final = 1 << 18  # points whose parts are cut at once: what a processor's cache holds
NO_CUT: Final = 2**32 - 1
NULL: Final = 0  # the code of null in every dimension


@dataclass
class Parts:
    """Pieces of `points` that lie one after the other, each with its tight box."""

    points: Points
    starts: Ints
    low: NDArray[np.int32]  # dimension, part
    high: NDArray[np.int32]

    @property
    def sizes(self) -> Ints:
        return np.diff(self.starts, append=len(self.points))


@dataclass
class Boxes:
    """The classes as they are found; `of_point` is the class of each point."""

    of_point: NDArray[np.int32]
    low: list[Codes] = field(default_factory=list)
    high: list[Codes] = field(default_factory=list)
    nulls: list[Marks] = field(default_factory=list)
    found: int = 0

    def add(self, parts: Parts, which: Ints, lanes: Sequence[Lane]) -> None:
        """These parts are classes. Where some values are null, the box is that of the others."""
        sizes = parts.sizes[which]
        numbers = np.arange(self.found, self.found + len(which), dtype=np.int32)
        places = ragged(parts.starts[which], sizes)
        self.of_point[parts.points.number[places]] = np.repeat(numbers, sizes)
        low, high = parts.low[:, which], parts.high[:, which]
        self.nulls.append(low == NULL)
        for d in np.flatnonzero(((low == NULL) & (high != NULL)).any(axis=1)).tolist():
            mixed = np.flatnonzero((low[d] == NULL) & (high[d] != NULL))
            count = sizes[mixed]
            codes = lanes[d].read([word[ragged(parts.starts[which[mixed]], count)] for word in parts.points.words])
            codes[codes == NULL] = np.iinfo(codes.dtype).max
            low[d, mixed] = np.minimum(np.minimum.reduceat(codes, np.cumsum(count) - count), high[d, mixed])
        kind = np.min_scalar_type(int(high.max(initial=0)))  # there may be millions of classes
        self.low.append(low.astype(kind))
        self.high.append(high.astype(kind))
        self.found += len(which)


@dataclass(frozen=True)
class Cutter:
    """How the points of one table are cut."""

    axes: Sequence[Axis]
    lanes: Sequence[Lane]
    guard: Guard

    def boxes(self, points: Points) -> Boxes:
        """The classes of points that keep the guarantee as a whole."""
        boxes = Boxes(np.zeros(len(points), dtype=np.int32))
        large, small, waiting = [points], list[Points](), 0
        while large:
            piece = large.pop()
            if len(piece) > AT_ONCE:
                large += self._halved(piece, boxes)
                continue
            small.append(piece)
            waiting += len(piece)
            if waiting > AT_ONCE // 2 or not large:
                self._cut_all(small, boxes)
                small, waiting = [], 0
        if small:
            self._cut_all(small, boxes)
        return boxes

    def _halved(self, piece: Points, boxes: Boxes) -> list[Points]:
        """The halves of a large piece, or none if it is a class."""
        parts = self._parts(piece, np.zeros(1, dtype=np.int64))
        found, right = self._cut(parts)
        if not found[0]:
            boxes.add(parts, np.zeros(1, dtype=np.int64), self.lanes)
            return []
        return list(piece.halved(right))

    def _cut_all(self, pieces: list[Points], boxes: Boxes) -> None:
        """Level by level, until every part is a class."""
        sizes = np.array([len(piece) for piece in pieces])
        parts = self._parts(together(pieces), np.cumsum(sizes) - sizes)
        parts.points.weight = parts.points.weight.astype(np.float64)
        while True:
            found, right = self._cut(parts)
            boxes.add(parts, np.flatnonzero(~found), self.lanes)
            if not found.any():
                return
            parts = self._next(parts, np.flatnonzero(found), right)

    def _parts(self, points: Points, starts: Ints) -> Parts:
        shape = len(self.axes), len(starts)
        low, high = np.empty(shape, dtype=np.int32), np.empty(shape, dtype=np.int32)
        for d, lane in enumerate(self.lanes):
            codes = lane.read(points.words)
            low[d] = np.minimum.reduceat(codes, starts)
            high[d] = np.maximum.reduceat(codes, starts)
        return Parts(points, starts, low, high)

    def _cut(self, parts: Parts) -> tuple[Marks, Marks]:
        """Which parts can be cut, and which points go to the right then."""
        sizes = parts.sizes
        rows = np.add.reduceat(parts.points.weight, parts.starts, dtype=np.float64)
        wide = widths(self.axes, parts.low, parts.high)
        order = np.argsort(-wide, axis=0, kind="stable")
        found = np.zeros(len(sizes), dtype=np.bool_)
        right = np.zeros(len(parts.points), dtype=np.bool_)
        pending = np.flatnonzero(rows >= 2 * self.guard.k)
        for attempt in range(len(self.axes)):
            dimension = order[attempt, pending]
            some = wide[dimension, pending] > 0
            pending, dimension = pending[some], dimension[some]
            if not len(pending):
                break
            cut = self._attempt(parts, pending, dimension, sizes[pending], rows[pending], right)
            found[pending[cut]] = True
            pending = pending[~cut]
        return found, right

    def _attempt(self, parts: Parts, which: Ints, dimension: Ints, sizes: Ints, rows: Floats, right: Marks) -> Marks:
        """Which of these parts can be cut along these dimensions; marks their points that go to the right."""
        points, whole = parts.points, len(which) == len(parts.starts)
        places = slice(None) if whole else ragged(parts.starts[which], sizes)
        values = self._values(points, places, dimension, sizes)
        low, high = (bound[dimension, which].astype(np.int64) for bound in (parts.low, parts.high))
        own, last = cuts(values, sizes, low, high, points.weight[places], rows, self.guard.k, self.axes, dimension)
        cut = np.zeros(len(which), dtype=np.bool_)
        cut[own] = True
        bounds = np.full(len(which), NO_CUT, dtype=np.uint32)
        bounds[own] = last
        beyond = values > each(bounds, sizes)
        if len(own) and not self.guard.rows_alone:
            kept = self._kept(points, places, cut, sizes, beyond)
            beyond &= each(kept, sizes)
            cut &= kept
        right[places] = beyond
        return cut

    def _kept(self, points: Points, places: Ints | slice, cut: Marks, sizes: Ints, right: Marks) -> Marks:
        """Of the parts that were cut, those whose halves both keep the guarantee."""
        numbers = np.repeat((2 * (np.cumsum(cut) - 1)).astype(np.int32), sizes) + right
        inside = slice(None) if cut.all() else np.flatnonzero(np.repeat(cut, sizes))
        groups = 2 * int(cut.sum())
        weight, others = points.weight[places][inside], [one[places][inside] for one in points.others]
        halves = self.guard.holds(numbers[inside], groups, weight, others)
        kept = cut.copy()
        kept[cut] = halves[0::2] & halves[1::2]
        return kept

    def _values(self, points: Points, places: Ints | slice, dimension: Ints, sizes: Ints) -> Codes:
        """The code of each point in the dimension of its part."""
        if len(dimension) == 1:
            codes: Codes = self.lanes[dimension[0]].read(points.words)[places]
            return codes
        values: Codes = np.zeros(1, dtype=points.words[0].dtype)
        for number, word in enumerate(points.words):
            shift = np.array([lane.shift * (lane.word == number) for lane in self.lanes], dtype=word.dtype)
            mask = np.array([lane.mask * (lane.word == number) for lane in self.lanes], dtype=word.dtype)
            values = values | (word[places] >> each(shift[dimension], sizes)) & each(mask[dimension], sizes)
        return values.astype(np.uint32, copy=False)

    def _next(self, parts: Parts, which: Ints, right: Marks) -> Parts:
        """The halves of the parts that are cut."""
        sizes = parts.sizes
        within = np.zeros(len(sizes), dtype=np.bool_)
        within[which] = True
        kept = np.repeat(within, sizes)
        rights = np.add.reduceat(right, parts.starts, dtype=np.int64)[which]
        lefts = sizes[which] - rights
        ends = np.cumsum(sizes[which])
        starts = ends - sizes[which]
        order = np.empty(int(ends[-1]), dtype=np.int64)
        for side, count, begin in ((kept & ~right, lefts, starts), (right, rights, starts + lefts)):
            order[ragged(begin, count)] = np.flatnonzero(side)
        beginnings = np.stack([starts, starts + lefts], axis=1).ravel()
        return self._parts(parts.points.take(order), beginnings)
