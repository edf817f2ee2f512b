"""The small totals of several tables, and what is left of a total once groups of other tables within it are subtracted.

Looked at are the totals that a table tells, group by group and added up over some of its columns, and for each the
groups of one or more other tables that lie within it as a whole. What is left is told to whoever subtracts; where
nothing is left, what several of those groups have in common. Knows no reason to publish anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from processors.privacy.small_groups.atoms import Atoms, Ints, Marks

ALL_OF = 4  # of so many columns or other tables every choice is looked at, of more those that differ the most


@dataclass(frozen=True)
class Target:
    """Atoms that are together in a total of a table, with the number of their subjects."""

    table: int
    atoms: Ints
    subjects: int


def leftovers(atoms: Atoms) -> Iterator[Target]:
    """Those of fewer than k subjects, each once: groups of a table, their sums, and what is left of either."""
    told: set[tuple[int, bytes]] = set()
    for at, cells in enumerate(atoms.cells):
        others = [other for other in range(len(atoms.cells)) if other != at]
        for columns in _some(range(len(atoms.levels[at]))):
            totals = np.where(cells >= 0, _added_up(atoms, at, columns)[cells], -1)
            within = {other: _within(totals, atoms.cells[other]) for other in others}
            for chosen in _some(others):
                times = sum((within[other].astype(np.int64) for other in chosen), np.zeros(len(cells), np.int64))
                for target in _small(atoms, at, totals, times):
                    key = (at, target.atoms.tobytes())
                    if key not in told:
                        told.add(key)
                        yield target


def _some(many: Sequence[int]) -> Iterator[tuple[int, ...]]:
    sizes = range(len(many) + 1) if len(many) <= ALL_OF else (0, 1, 2, len(many) - 1, len(many))
    for size in sizes:
        yield from combinations(many, size)


def _added_up(atoms: Atoms, at: int, columns: Sequence[int]) -> Ints:
    """The total that each group of a table is in, by some of its columns."""
    groups = len(atoms.subjects[at])
    chosen = np.stack([atoms.levels[at][i] for i in columns], axis=1) if columns else np.zeros((groups, 1), np.int64)
    return np.unique(chosen, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _within(totals: Ints, cells: Ints) -> Marks:
    """The atoms whose group lies within one total as a whole."""
    there = cells >= 0
    size = int(cells.max(initial=-1)) + 1
    least, most = np.full(size, np.iinfo(np.int64).max), np.full(size, -1)
    np.minimum.at(least, cells[there], totals[there])
    np.maximum.at(most, cells[there], totals[there])
    whole: Marks = (least == most) & (least >= 0)
    return there & whole[cells]


def _small(atoms: Atoms, at: int, totals: Ints, times: Ints) -> Iterator[Target]:
    """Of each total what is covered no times, or if that is nothing what is covered twice, where that is small."""
    never = (totals >= 0) & (times == 0)
    rest = np.zeros(int(totals.max()) + 1, dtype=np.bool_)
    rest[totals[never]] = True
    left = np.flatnonzero(never | ((totals >= 0) & ~rest[totals] & (times > 1)))
    if atoms.own[at]:
        sums = np.bincount(totals[left], atoms.weights[at][left]).astype(np.int64)
    else:
        whose = atoms.whose[at].filter(pl.Series(np.isin(atoms.whose[at]["atom"].to_numpy(), left)))
        each = whose.select(pl.Series("total", totals[whose["atom"].to_numpy()]), "subject").unique()
        sums = np.bincount(each["total"].to_numpy())
    few = np.flatnonzero((sums > 0) & (sums < atoms.k[at]))
    order = left[np.argsort(totals[left], kind="stable")]
    ends = np.searchsorted(totals[order], [few, few + 1])
    for total, first, last in zip(few.tolist(), *ends.tolist(), strict=True):
        yield Target(at, order[first:last], int(sums[total]))
