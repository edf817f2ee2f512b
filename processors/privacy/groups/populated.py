"""Classes of a table by Mondrian, of which none has too many or too few of its people in a population.

Always holds: everyone of the population is covered by the name of one class at most, by that of one if somebody of
everyone has to be there; of those whom a class's name covers the table has a share within the bounds; every class keeps
k, l and t besides, or there are no classes. A class is named after its own rows where their share allows it, else after
all people of its part (tiles.py). Rows are left out as for l (mondrian.py), and evenly of all where the table has more
of the population than it may. What a class's share speaks of is the rows that are published.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from processors.privacy.domains.dimension import Dimension
from processors.privacy.domains.points import SUPPRESSED, Codes, Ints, Marks, collapsed, ordered
from processors.privacy.groups.covers import Cover, cover
from processors.privacy.groups.guard import Sensitive
from processors.privacy.groups.mondrian import Classes, distinct, guarded, spread, trimmed
from processors.privacy.groups.outliers import boxed
from processors.privacy.groups.shortfall import Infeasible, Shortfall, shortfalls
from processors.privacy.groups.tiles import NOBODY, Lot, Tiler, lot
from processors.privacy.guarantees import everyone
from processors.privacy.guarantees.enough import SLACK
from processors.privacy.search.rollup import numbered, packed

DIGITS: Final = 4  # of a share that is told


@dataclass(frozen=True)
class Population:
    """Everyone who might be in the table, each once, by codes; and the share of a class's people in it that the table
    has, at least and at most."""

    codes: Sequence[Codes]
    delta: tuple[float, float]

    def __len__(self) -> int:
        return len(self.codes[0])


@dataclass(frozen=True)
class Rows:
    """The table's rows, or those of them that are still there."""

    codes: Sequence[Codes]
    subject: Codes | None
    sensitive: Sequence[Sensitive]

    @property
    def people(self) -> Marks:
        """One row of each person."""
        first = np.ones(len(self.codes[0]), dtype=np.bool_)
        if self.subject is not None:
            first[:] = False
            first[np.unique(self.subject, return_index=True)[1]] = True
        return first

    def taken(self, kept: Marks) -> Rows:
        subject = None if self.subject is None else self.subject[kept]
        fewer = [replace(one, codes=one.codes[kept]) for one in self.sensitive]
        return Rows([column[kept] for column in self.codes], subject, fewer)


def classes_among(
    dimensions: Sequence[Dimension],
    rows: Rows,
    k: int,
    population: Population,
    *,
    unknown: int = 0,
    suppression_limit: float = 0.0,
    outliers: float = 0.0,
) -> Classes | Infeasible:
    """As `classes` does, beside a population; `unknown`: how many rows tell no subject.

    No name of a dimension may be `unclear`. Raises `MisfitError` where the population lacks somebody of the table.
    """
    _check(dimensions, rows, population, unknown)
    total = len(rows.codes[0])
    kept = np.ones(total, dtype=np.bool_)
    lacking = tuple(_lacking(rows, k, population)) if total else ()
    if lacking:
        kept = _kept(rows, population)
        left = total - int(kept.sum())
        if left == total or any(_lacking(rows.taken(kept), k, population)):
            return Infeasible(lacking)
        if left > suppression_limit * total:
            # where somebody of everyone has to be there, nobody can be left out
            return Infeasible(lacking, left / total if population.delta[0] == 0 else None)
    if not kept.any():
        none = np.zeros((len(dimensions), 0), dtype=np.int32)
        nobody = np.zeros(0, dtype=np.int64)
        return Classes(np.full(total, SUPPRESSED, dtype=np.int32), nobody, none, none, none.astype(np.bool_))
    return _formed(dimensions, rows, k, population, kept, outliers)


def _check(dimensions: Sequence[Dimension], rows: Rows, population: Population, unknown: int) -> None:
    total, sizes = len(rows.codes[0]), [one.size for one in dimensions]
    every = [np.concatenate(both).astype(np.int64) for both in zip(rows.codes, population.codes, strict=True)]
    leaf, count = numbered(*packed(every, sizes, len(every[0])))
    own = leaf[:total]
    subjects = None
    counted = np.ones(total, dtype=np.bool_)
    if rows.subject is not None:
        codes = np.unique(rows.subject, return_inverse=True)[1].astype(np.int64)
        counted[:] = False
        counted[np.unique(codes * count + own, return_index=True)[1]] = True
        subjects = codes[counted]
    there = np.bincount(own[counted], minlength=count)
    missing = np.maximum(there - np.bincount(leaf[total:], minlength=count), 0)
    everyone.check(int(missing.sum()), subjects, unknown)


def _lacking(rows: Rows, k: int, population: Population) -> Iterator[Shortfall]:
    """All that one class of all rows, named after everyone, lacks: what it doesn't keep, no classes can."""
    yield from shortfalls(k, len(rows.codes[0]), distinct(rows.subject), rows.sensitive)
    share, (least, most) = int(rows.people.sum()) / len(population), population.delta
    told = f"the table has {share:.2%} of the population"
    if share > most:
        near = math.ceil(share * 10**DIGITS) / 10**DIGITS
        yield Shortfall(f"presence of at most {most:g} can't be kept: {told}", f"give {near:g} or more", most, share)
    if share < least:
        near = math.floor(share * 10**DIGITS) / 10**DIGITS
        yield Shortfall(f"presence of at least {least:g} can't be kept: {told}", f"give {near:g} or less", least, share)


def _kept(rows: Rows, population: Population) -> Marks:
    """The rows that stay if as few go as l and the upper bound of presence ask for.

    Those who are too many go evenly over the order of their codes, each with all rows.
    """
    kept = spread(rows.codes, rows.sensitive)
    most = math.floor(population.delta[1] * len(population) + SLACK)
    places = np.flatnonzero(kept)
    rest = rows.taken(kept)
    if int(rest.people.sum()) <= most:
        return kept
    person = np.arange(len(places)) if rest.subject is None else np.unique(rest.subject, return_inverse=True)[1]
    order = ordered(rest.codes)
    order = order[np.sort(np.unique(person[order], return_index=True)[1])]  # one row of each person
    staying = (np.arange(len(order), dtype=np.int64) * most) // len(order)
    stays = np.zeros(len(order), dtype=np.bool_)
    stays[person[order[np.diff(staying, append=most) > 0]]] = True
    kept[places[~stays[person]]] = False
    return kept


def _formed(
    dimensions: Sequence[Dimension], rows: Rows, k: int, population: Population, kept: Marks, outliers: float
) -> Classes:
    fewer = rows.taken(kept)
    guard, others = guarded(k, fewer.subject, fewer.sensitive)
    sizes = [one.size for one in dimensions]
    points, known = collapsed(fewer.codes, sizes, others), collapsed(population.codes, sizes, [])
    covers = [cover(one) for one in dimensions]
    first = fewer.people
    people = np.add.reduceat(first[points.rows], np.cumsum(points.sizes, dtype=np.int64) - points.sizes, dtype=np.int64)
    everybody = lot(known, len(dimensions), known.sizes.astype(np.int64))
    own, of_known = Tiler(dimensions, covers, guard, population.delta).tiles(
        lot(points, len(dimensions), people), everybody
    )
    of_row = np.full(len(kept), SUPPRESSED, dtype=np.int32)
    of_row[kept] = points.each_row(own.astype(np.int32))
    person = np.zeros(len(kept), dtype=np.bool_)
    person[kept] = first
    settled = _Settled(covers, everybody, of_known, population.delta, of_row, person)
    if population.delta[0] == 0:  # else everyone of the population has to be covered
        settled.narrow(rows.codes, of_row)
        settled.narrow(rows.codes, trimmed(of_row, dimensions, rows.codes, k, rows.subject, rows.sensitive, outliers))
    return settled.told()


@dataclass
class _Named:
    """What classes are named after, and whom the names cover."""

    low: Ints  # dimension, class
    high: Ints
    nulls: Marks
    people: Ints
    known: Ints


class _Settled:
    """The classes as they are published: at first of all rows, and named after all people of their parts."""

    def __init__(
        self,
        covers: Sequence[Cover],
        known: Lot,
        of_known: Ints,
        delta: tuple[float, float],
        of_row: NDArray[np.int32],
        person: Marks,
    ) -> None:
        inside = np.flatnonzero(of_known != NOBODY)
        self._codes, self._weight = [column[inside] for column in known.codes], known.people[inside]
        self._covers, self._own, self._delta = covers, of_known[inside], delta
        self._of_row, self._person, self._count = of_row, person, int(of_row.max()) + 1
        self._named = self._as(self._codes, self._own, of_row)

    def narrow(self, codes: Sequence[Codes], of_row: NDArray[np.int32]) -> None:
        """Classes of these rows, named after them, where their shares allow it."""
        rows = np.flatnonzero(of_row != SUPPRESSED)
        found = self._as([column[rows].astype(np.int64) for column in codes], of_row[rows].astype(np.int64), of_row)
        fine = found.people / found.known <= self._delta[1]
        was = self._named
        self._named = _Named(
            np.where(fine, found.low, was.low),
            np.where(fine, found.high, was.high),
            np.where(fine, found.nulls, was.nulls),
            np.where(fine, found.people, was.people),
            np.where(fine, found.known, was.known),
        )
        mine = self._of_row != SUPPRESSED
        taken = np.zeros(len(of_row), dtype=np.bool_)
        taken[mine] = fine[self._of_row[mine]]
        self._of_row = np.where(taken, of_row, self._of_row)

    def told(self) -> Classes:
        rows = np.bincount(self._of_row[self._of_row != SUPPRESSED], minlength=self._count)
        now = self._named
        shares = now.people / now.known
        low, high = now.low.astype(np.int32), now.high.astype(np.int32)
        return Classes(self._of_row, rows, low, high, now.nulls, (float(shares.min()), float(shares.max())))

    def _as(self, codes: Sequence[Ints], own: Ints, of_row: NDArray[np.int32]) -> _Named:
        """Named after these points, of which each class has some."""
        order = np.argsort(own, kind="stable")
        starts = np.searchsorted(own[order], np.arange(self._count))
        low, high, nulls = boxed([column[order] for column in codes], starts)
        people = np.bincount(of_row[self._person & (of_row != SUPPRESSED)], minlength=self._count)
        return _Named(low, high, nulls, people, self._covered(low, high, nulls))

    def _covered(self, low: Ints, high: Ints, nulls: Marks) -> Ints:
        """How many people the name of each class covers; all of them are of its part."""
        inside = np.ones(len(self._own), dtype=np.bool_)
        for d, (one, codes) in enumerate(zip(self._covers, self._codes, strict=True)):
            first, last = one.covered(low[d], high[d])
            valued = (codes >= first[self._own]) & (codes <= last[self._own])
            inside &= np.where(codes == 0, nulls[d][self._own], valued)
        return np.bincount(self._own[inside], self._weight[inside], self._count).astype(np.int64)
