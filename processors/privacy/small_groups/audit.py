"""What all published totals of several tables tell together: small sets of atoms of which a total follows.

Looked for are sets of fewer than k subjects whose total is a sum of published groups, each added or subtracted so many
times; withheld is a group that this sum can't do without, the one of fewest subjects. Knows linear algebra, no reason
to publish a group, and nothing of bounds that follow since nothing is less than nobody.

What is left of a group once known atoms are subtracted is found step by step (`unknowns.py`). Of what hangs together
beyond that a set's total follows if no change of the atoms that leaves the published totals as they are changes it:
three such changes are made, and sets of up to four unknowns that none of them changes are told. Not looked for are sets
of more unknowns, and those in what hangs together over more than `ROWS` groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from processors.privacy.small_groups.atoms import Atoms, Ints, Marks
from processors.privacy.small_groups.unknowns import Group, Unknowns, mixed

ROWS: Final = 1_000
PAIRS: Final = 2_000_000  # of unknowns that are not large, beyond which sets of one alone are looked for
EXACT: Final = 1e-7

Floats = npt.NDArray[np.float64]


def withhold_told(atoms: Atoms, hidden: Sequence[Marks]) -> None:
    """Withholds more groups until no small set is found that the others tell."""
    few = _Few(atoms)
    while (groups := _told(atoms, hidden, few)) is not None:
        table, group = min(groups, key=lambda one: (atoms.subjects[one[0]][one[1]], one))
        hidden[table][group] = True


def _told(atoms: Atoms, hidden: Sequence[Marks], few: _Few) -> list[Group] | None:
    """The groups of which one has to go, for the first small set that is found."""
    left = Unknowns(atoms, hidden, lambda of_atom: ~few.some(of_atom))
    for group, inside in left.alone:
        if few.small(inside):
            return left.sources([group])
    for own in _hanging_together(left.cells, ~left.big):
        part = _Part(left.cells[own])
        if len(part.groups) <= ROWS:
            for some in _unchanged(
                part.changes(), np.flatnonzero(~left.big[own]), few.fewest(left.of_atom)[own], few.k
            ):
                if few.small(np.flatnonzero(np.isin(left.of_atom, own[some]))):
                    return left.sources(part.needed(some))
    return None


class _Few:
    """Of atoms whether they are fewer than k subjects: as each table counts that has them all, else by their number."""

    def __init__(self, atoms: Atoms) -> None:
        self._atoms = atoms
        self._most = np.max(atoms.weights, axis=0)  # of each atom, by the table that counts the most
        self.k = max(atoms.k)  # sets of so many are small to no table

    def some(self, of_atom: Ints) -> Marks:
        """Of each unknown whether it may be part of a small set."""
        atoms, there, size = self._atoms, of_atom >= 0, int(of_atom.max(initial=-1)) + 1
        found: Marks = np.bincount(of_atom[there], self._most[there], size) < min(atoms.k)
        for at, cells in enumerate(atoms.cells):
            lacks = np.bincount(of_atom[there & (cells < 0)], minlength=size) > 0
            if atoms.own[at]:
                counts = np.bincount(of_atom[there], atoms.weights[at][there], size)
            else:
                whose = atoms.whose[at].select("subject", one=pl.Series(of_atom[atoms.whose[at]["atom"].to_numpy()]))
                counts = np.bincount(whose.filter(pl.col("one") >= 0).unique()["one"].to_numpy(), minlength=size)
            found |= ~lacks & (counts < atoms.k[at])
        return found

    def fewest(self, of_atom: Ints) -> Ints:
        """How many subjects each unknown adds to a set, whatever else is in it."""
        size = int(of_atom.max(initial=-1)) + 1
        if not all(self._atoms.own):
            return np.zeros(size, dtype=np.int64)
        return np.bincount(of_atom[of_atom >= 0], self._most[of_atom >= 0], size).astype(np.int64)

    def small(self, inside: Ints) -> bool:
        tables = [at for at, cells in enumerate(self._atoms.cells) if (cells[inside] >= 0).all()]
        if not tables:
            return bool(self._most[inside].sum() < min(self._atoms.k))
        return all(self._subjects(at, inside) < self._atoms.k[at] for at in tables)

    def _subjects(self, at: int, inside: Ints) -> int:
        if self._atoms.own[at]:
            return int(self._atoms.weights[at][inside].sum())
        whose = self._atoms.whose[at]
        return int(whose.filter(pl.Series(np.isin(whose["atom"].to_numpy(), inside)))["subject"].n_unique())


def _hanging_together(cells: Ints, light: Marks) -> Iterator[Ints]:
    """The unknowns that hang together by groups, where some are light."""
    own = np.arange(len(cells))
    while True:
        least = own.copy()
        for groups in cells.T:
            there = groups >= 0
            lowest = np.full(int(groups.max(initial=-1)) + 1, len(cells))
            np.minimum.at(lowest, groups[there], least[there])
            least[there] = np.minimum(least[there], lowest[groups[there]])
        least = least[least]
        if (least == own).all():
            break
        own = least
    for one in np.unique(own[light]).tolist():
        yield np.flatnonzero(own == one)


class _Part:
    """Unknowns that hang together, and the groups that they stand in as rows of a matrix."""

    def __init__(self, cells: Ints) -> None:
        pairs = [(table, group) for table, own in enumerate(cells.T) for group in np.unique(own[own >= 0]).tolist()]
        self.groups: list[Group] = pairs
        self._matrix = np.zeros((len(pairs), len(cells)))
        for row, (table, group) in enumerate(pairs):
            self._matrix[row, cells[:, table] == group] = 1

    def changes(self) -> Floats:
        """Three changes of the unknowns that no group shows: of each unknown (a row) by how much."""
        some = mixed(3 * self._matrix.shape[1]).astype(np.float64).reshape(-1, 3) / 2.0**63 - 1
        for _ in range(2):  # the second time for what rounding left
            some = some - self._matrix.T @ self._solved(self._matrix @ some)
        return some

    def needed(self, some: Ints) -> list[Group]:
        """The groups that a sum which tells these unknowns can't do without; if there is none, those of one sum."""
        wanted = np.zeros(self._matrix.shape[1])
        wanted[some] = 1
        taken = np.abs(self._solved(self._matrix @ wanted)) > EXACT
        values, vectors = self._spectrum
        spare = np.abs(vectors[:, values <= self._least]).max(axis=1, initial=0) > EXACT
        rows = np.flatnonzero(taken & ~spare) if (taken & ~spare).any() else np.flatnonzero(taken)
        return [self.groups[row] for row in rows.tolist()]

    @cached_property
    def _spectrum(self) -> tuple[Floats, Floats]:
        values, vectors = np.linalg.eigh(self._matrix @ self._matrix.T)
        return values, vectors

    @property
    def _least(self) -> float:
        return float(self._spectrum[0][-1]) * 1e-10

    def _solved(self, totals: Floats) -> Floats:
        values, vectors = self._spectrum
        there = values > self._least
        kept = vectors[:, there]
        found: Floats = kept @ ((kept.T @ totals).T / values[there]).T
        return found


def _unchanged(changes: Floats, light: Ints, fewest: Ints, k: int) -> Iterator[Ints]:
    """Sets of up to four of the light unknowns that no change changes, the smallest first; none of k subjects."""
    near, fewest = changes[light], fewest[light]
    yield from light[np.abs(near).max(axis=1) < EXACT][:, None]
    if len(light) < 2 or len(light) * (len(light) - 1) // 2 > PAIRS:
        return
    pairs = np.stack(np.triu_indices(len(light), 1), axis=1)
    pairs = pairs[fewest[pairs].sum(axis=1) < k]
    sums = near[pairs[:, 0]] + near[pairs[:, 1]]
    yield from light[pairs[np.abs(sums).max(axis=1) < EXACT]]
    for ones, own in ((np.arange(len(light))[:, None], near), (pairs, sums)):
        order = np.argsort(own[:, 0])
        ranked = own[order, 0]
        first, last = (np.searchsorted(ranked, -sums[:, 0] + side) for side in (-EXACT, EXACT))
        for pair in np.flatnonzero(last > first).tolist():
            for other in order[first[pair] : last[pair]].tolist():
                whole = np.unique(np.concatenate([pairs[pair], ones[other]]))
                fits = len(whole) == 2 + ones.shape[1] and fewest[whole].sum() < k
                if fits and np.abs(sums[pair] + own[other]).max() < EXACT:
                    yield light[whole]
