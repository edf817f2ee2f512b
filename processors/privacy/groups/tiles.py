"""Mondrian over a table and the population it is from: parts whose names share nobody of the population.

Table and population are cut in step. Where names are exact a part is cut in two near the median, else along all
branches of its name at once (covers.py); a cut is taken only if every piece with rows keeps k, l, t and presence, and
nobody of the population is covered by the names of two pieces. A piece without rows is let go, unless somebody of
everyone has to be there. Always holds: whom a part's names cover are the part's own people. So how surely somebody is
in the table is the share that his part has in it (Nergiz and others, 2007). Knows codes, not values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from processors.privacy.domains.points import Collapsed, Ints, Marks
from processors.privacy.groups.covers import Cover
from processors.privacy.groups.cut import Axis, cheapest, widths
from processors.privacy.groups.guard import Guard
from processors.privacy.groups.outliers import bounds, boxed
from processors.privacy.measured.tally import changes, ragged
from processors.privacy.search.rollup import numbered

NOBODY: Final = -1  # the class of a person whom no name covers


@dataclass(frozen=True)
class Lot:
    """Points in the order of their parts; `others` are codes of the subject and of sensitive columns."""

    codes: Sequence[Ints]
    rows: Ints
    people: Ints
    number: NDArray[np.int32]
    part: Ints
    others: Sequence[NDArray[np.int32]] = ()

    def take(self, order: Ints, part: Ints) -> Lot:
        codes, others = [column[order] for column in self.codes], [column[order] for column in self.others]
        return Lot(codes, self.rows[order], self.people[order], self.number[order], part, others)

    def places(self, which: Ints, parts: int) -> tuple[Ints, Ints]:
        """(where the points of these parts are, the place of each one's part among them)."""
        starts = np.searchsorted(self.part, np.arange(parts + 1))
        sizes = np.diff(starts)[which]
        return ragged(starts[which], sizes), np.repeat(np.arange(len(which)), sizes)


def lot(points: Collapsed, dimensions: int, people: Ints) -> Lot:
    """All of them in one part; `people`: how many people each point stands for."""
    codes = [points.lanes[d].read(points.points.words).astype(np.int64) for d in range(dimensions)]
    own = points.points
    none = np.zeros(len(own), dtype=np.int64)
    return Lot(codes, points.sizes.astype(np.int64), people, own.number, none, own.others)


@dataclass(frozen=True)
class Tiler:
    """`delta`: the share of a part's people in the population that the table has, at least and at most."""

    axes: Sequence[Axis]
    covers: Sequence[Cover]
    guard: Guard
    delta: tuple[float, float]

    def tiles(self, table: Lot, known: Lot) -> tuple[Ints, Ints]:
        """The class of each point of the table, and of the population. As one part the table keeps the guarantee."""
        of_table = np.zeros(len(table.number), dtype=np.int64)
        of_known = np.full(len(known.number), NOBODY, dtype=np.int64)
        found = 0
        while len(table.part):
            parts = int(table.part[-1]) + 1
            level = _Level(self, table, known, parts)
            cut = level.cut()
            classes = np.cumsum(~cut) - 1 + found
            for whole, one in ((of_table, table), (of_known, known)):
                done = ~cut[one.part]
                whole[one.number[done]] = classes[one.part[done]]
            found += int((~cut).sum())
            table, known = level.pieces()
        return of_table, of_known

    def within(self, people: Ints, known: Ints) -> Marks:
        share = people / known
        return np.asarray((share >= self.delta[0]) & (share <= self.delta[1]))


class _Level:
    """All parts that are not classes yet, and how they are cut."""

    def __init__(self, by: Tiler, table: Lot, known: Lot, parts: int) -> None:
        self._by, self._table, self._known, self._parts = by, table, known, parts
        starts = np.searchsorted(known.part, np.arange(parts))
        self._low, self._high, self._nulls = boxed(known.codes, starts)
        self._sides = np.zeros(len(table.part), dtype=np.int64), np.zeros(len(known.part), dtype=np.int64)
        self._found = np.zeros(parts, dtype=np.bool_)

    def cut(self) -> Marks:
        """Which parts are cut, each along its widest dimension that it can be cut along."""
        rows = np.bincount(self._table.part, self._table.rows, self._parts)
        lowest = np.where(self._nulls, 0, self._low).astype(np.int32)
        wide = widths(self._by.axes, lowest, self._high.astype(np.int32))
        order = np.argsort(-wide, axis=0, kind="stable")
        pending = np.flatnonzero(rows >= 2 * self._by.guard.k)
        for attempt in range(len(self._by.axes)):
            dimension = order[attempt, pending]
            some = wide[dimension, pending] > 0
            pending, dimension = pending[some], dimension[some]
            for d in np.unique(dimension).tolist():
                self._along(d, pending[dimension == d])
            pending = pending[~self._found[pending]]
        return self._found

    def pieces(self) -> tuple[Lot, Lot]:
        """The pieces of the parts that are cut; people of pieces without rows are let go."""
        width = 1 + max(int(side.max(initial=0)) for side in self._sides)
        lots = self._table, self._known
        inside = [np.flatnonzero(self._found[one.part]) for one in lots]
        keys = [one.part[own] * width + side[own] for one, own, side in zip(lots, inside, self._sides, strict=True)]
        own, others, count = ranked(keys[0], keys[1], self._parts * width)
        there = np.bincount(own, minlength=count) > 0
        piece = np.cumsum(there) - 1
        kept = there[others]
        return _sorted(self._table, inside[0], piece[own]), _sorted(self._known, inside[1][kept], piece[others[kept]])

    def _along(self, d: int, which: Ints) -> None:
        """Cuts those of these parts that can be cut along a dimension."""
        cover = self._by.covers[d]
        exact = cover.exact(self._low[d, which], self._high[d, which])
        self._try(d, which[exact], self._halves)
        branched = which[~exact]
        self._try(d, branched, self._branches)
        # where the branches don't keep what is asked, those without a value may still be told from the others
        mixed = self._nulls[d, branched] & (self._high[d, branched] > 0) & ~self._found[branched]
        self._try(d, branched[mixed], self._apart)

    def _try(self, d: int, which: Ints, ways: Any) -> None:
        """Cuts these parts as `ways` says where every piece keeps what is asked."""
        if not len(which):
            return
        table = _Inside(self._table, d, *self._table.places(which, self._parts))
        known = _Inside(self._known, d, *self._known.places(which, self._parts))
        sides = ways(d, which, table, known)
        cut = _Pieces(self._by, d, table, known, sides, len(which)).kept()
        self._found[which[cut]] = True
        for all_sides, one, side in zip(self._sides, (table, known), sides, strict=True):
            own = cut[one.own]
            all_sides[one.places[own]] = side[own]

    def _halves(self, d: int, which: Ints, table: _Inside, known: _Inside) -> tuple[Ints, Ints]:
        """The cut nearest to the median of those that leave both sides k rows and keep presence."""
        size = self._by.axes[d].size
        keys = [one.own * size + one.codes for one in (table, known)]
        at, own, count = ranked(keys[0], keys[1], len(which) * size)
        key = np.empty(count, dtype=np.int64)
        key[own] = keys[1]  # everyone of the table is somebody of the population
        part, code = np.divmod(key, size)
        first = changes(part)
        counted = (at, table.rows), (at, table.people), (own, known.people)
        sums = [np.bincount(where, weight, count) for where, weight in counted]
        left = [_running(one, first) for one in sums]
        right = [np.add.reduceat(one, first)[part] - running for one, running in zip(sums, left, strict=True)]
        fits = (left[0] >= self._by.guard.k) & (right[0] >= self._by.guard.k)
        fits[fits] = self._by.within(left[1][fits], left[2][fits]) & self._by.within(right[1][fits], right[2][fits])
        candidates = np.flatnonzero(fits)
        last = np.full(len(which), size, dtype=np.int64)
        if len(candidates):
            cost = np.abs(left[0] - right[0])[candidates]
            chosen = candidates[cheapest(part[candidates], cost)]
            last[part[chosen]] = code[chosen]
        return (table.codes > last[table.own]).astype(np.int64), (known.codes > last[known.own]).astype(np.int64)

    def _branches(self, d: int, which: Ints, table: _Inside, known: _Inside) -> tuple[Ints, Ints]:
        """One piece for each branch; those without a value go with the first."""
        low, high = self._low[d, which], self._high[d, which]
        cover = self._by.covers[d]
        sides = [
            cover.branches(low, high, one.own, np.where(one.codes == 0, low[one.own], one.codes))
            for one in (table, known)
        ]
        least = np.full(len(which), np.iinfo(np.int64).max)
        np.minimum.at(least, known.own, sides[1])
        return sides[0] - least[table.own], sides[1] - least[known.own]

    def _apart(self, d: int, which: Ints, table: _Inside, known: _Inside) -> tuple[Ints, Ints]:
        return (table.codes > 0).astype(np.int64), (known.codes > 0).astype(np.int64)


class _Inside:
    """The points of some parts: where they are, whose part's, and what they have in one dimension."""

    def __init__(self, whole: Lot, d: int, places: Ints, own: Ints) -> None:
        self.places, self.own = places, own
        self.codes, self.rows, self.people = whole.codes[d][places], whole.rows[places], whole.people[places]
        self.others = [one[places] for one in whole.others]


class _Pieces:
    """What parts would fall into; `sides` of a part ascend with its codes."""

    def __init__(self, by: Tiler, d: int, table: _Inside, known: _Inside, sides: tuple[Ints, Ints], parts: int) -> None:
        self._by, self._cover, self._table, self._known, self._parts = by, by.covers[d], table, known, parts
        width = 1 + int(sides[1].max(initial=0))
        keys = [one.own * width + side for one, side in zip((table, known), sides, strict=True)]
        self._of_table, self._of_known, self._count = ranked(keys[0], keys[1], parts * width)
        self._part = np.zeros(self._count, dtype=np.int64)
        self._part[self._of_known] = known.own

    def kept(self) -> Marks:
        """Which parts fall into several pieces that all keep what is asked."""
        rows = np.bincount(self._of_table, self._table.rows, self._count)
        people = np.bincount(self._of_table, self._table.people, self._count)
        known = np.bincount(self._of_known, self._known.people, self._count)
        there = rows > 0
        fine = np.where(there, (rows >= self._by.guard.k) & self._by.within(people, known), self._by.delta[0] == 0)
        fine &= self._apart(there)
        kept = np.bincount(self._part, minlength=self._parts) > 1
        kept[self._part[~fine]] = False
        if not self._by.guard.rows_alone:
            self._guarded(kept, there)
        return kept

    def _apart(self, there: Marks) -> Marks:
        """Of each piece with rows, whether its name covers nobody of the pieces beside it."""
        order = np.argsort(self._of_known, kind="stable")
        starts = np.searchsorted(self._of_known[order], np.arange(self._count))
        low, high = bounds(self._known.codes[order], starts)
        first, last = self._cover.covered(low, high)
        beside = np.flatnonzero(self._part[1:] == self._part[:-1])
        fine = np.ones(self._count, dtype=np.bool_)
        fine[beside] &= last[beside] < np.where(low[beside + 1] > 0, low[beside + 1], np.iinfo(np.int64).max)
        fine[beside + 1] &= first[beside + 1] > high[beside]
        return fine | ~there

    def _guarded(self, kept: Marks, there: Marks) -> None:
        """Unmarks parts of which a piece doesn't keep k by subjects, l or t."""
        asked = there & kept[self._part]
        number = np.cumsum(asked) - 1
        points = np.flatnonzero(asked[self._of_table])
        points = points[np.argsort(self._of_table[points], kind="stable")]
        if not len(points):
            return
        group = number[self._of_table[points]].astype(np.int32)
        others = [one[points] for one in self._table.others]
        held = self._by.guard.holds(group, int(asked.sum()), self._table.rows[points], others)
        kept[self._part[np.flatnonzero(asked)[~held]]] = False


def ranked(one: Ints, other: Ints, bound: int) -> tuple[Ints, Ints, int]:
    """The rank of each key among the distinct ones of both, and how many these are."""
    ranks, count = numbered(np.concatenate([one, other]), bound)
    return ranks[: len(one)], ranks[len(one) :], count


def _running(numbers: Any, first: Ints) -> Any:
    """Sums from the first number of each part on."""
    sums = np.cumsum(numbers)
    return sums - np.repeat((sums - numbers)[first], np.diff(first, append=len(numbers)))


def _sorted(whole: Lot, inside: Ints, part: Ints) -> Lot:
    order = np.argsort(part, kind="stable")
    return whole.take(inside[order], part[order])
