"""Classes of a node of a lattice, found from the classes of a finer node: by groups, not by rows.

Always holds: classes of a coarser node are unions of those of a finer one, so numbers of rows, of subjects and of
sensitive values add up. Codes are packed into one integer; a class without rows is one that only the population has.
Knows no guarantee and no loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from processors.privacy.domains.levels import Levels
from processors.privacy.guarantees.classes import Segments

Ints = NDArray[np.int64]
Marks = NDArray[np.bool_]
Node = tuple[int, ...]
SPARSE: Final = 4  # more places than this for each key, and sorting is faster
FEW: Final = 1 << 15  # places that are no matter at all
HELD: Final = 1 << 22  # groups of leaves that are looked up once for all nodes
WIDEST: Final = 2**62  # keys stay below


@dataclass(frozen=True)
class Pairs:
    """Each class's distinct values with their rows, ordered by class and then by value; values are below `size`."""

    own: Ints
    values: Ints
    counts: Ints
    size: int

    def rolled(self, up: Ints, classes: int) -> Pairs:
        """`up`: the new class of each old one."""
        return paired(up[self.own], self.values, self.counts, classes, self.size)

    def segments(self) -> tuple[Ints, Segments]:
        """The classes that have rows, ascending, and their values."""
        fresh = np.empty(len(self.own), dtype=np.bool_)
        fresh[:1] = True
        np.not_equal(self.own[1:], self.own[:-1], out=fresh[1:])
        starts = np.flatnonzero(fresh)
        domain = pl.int_range(self.size, eager=True)
        return self.own[starts], Segments(pl.DataFrame(), domain, self.values, self.counts, starts)


@dataclass(frozen=True)
class Leaves:
    """The distinct combinations of leaves. `pairs`: sensitive values and subjects by column; `known`: the population's
    rows; `row` is the combination of each row of the table."""

    columns: tuple[Ints, ...]
    rows: Ints
    row: Ints
    pairs: dict[str, Pairs]
    known: Ints | None = None

    @property
    def total(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class Groups:
    """The classes of a node: a leaf combination of each, its rows, and whose classes they are made of."""

    node: Node
    leaves: Leaves
    first: Ints
    rows: Ints
    source: Groups | None = None
    up: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # the class of each class of the source

    @cached_property
    def own(self) -> Ints:
        """The class of each combination of leaves."""
        return self.up if self.source is None else self.up[self.source.own]

    @cached_property
    def known(self) -> Ints | None:
        """How many of the population each class has."""
        finer = self.leaves.known if self.source is None else self.source.known
        return None if finer is None else summed(self.up, finer, len(self.rows))

    def pairs(self, column: str) -> Pairs:
        if column not in self._pairs:
            finer = self.leaves.pairs[column] if self.source is None else self.source.pairs(column)
            self._pairs[column] = finer.rolled(self.up, len(self.rows))
        return self._pairs[column]

    def column(self, place: int, level: int, levels: Levels) -> Ints:
        """The group of each class on a level of the column, which is nowhere finer than the classes."""
        if (place, level) in self._columns:
            return self._columns[place, level]
        leaf = self.leaves.columns[place]
        group = levels.groups[level][leaf if self.source is None else leaf[self.first]]
        if self.source is None and len(self._columns) * len(group) < HELD:
            self._columns[place, level] = group
        return group

    @cached_property
    def _pairs(self) -> dict[str, Pairs]:
        return {}

    @cached_property
    def _columns(self) -> dict[tuple[int, int], Ints]:
        return {}


def base(leaves: Leaves) -> Groups:
    """The classes of the finest node."""
    count = len(leaves.rows)
    every = np.arange(count)
    return Groups((0,) * len(leaves.columns), leaves, every, leaves.rows, None, every)


def rolled(source: Groups, node: Node, levels: Sequence[Levels]) -> Groups:
    """The classes of a node that is nowhere finer than the source."""
    parts, sizes = [], []
    for place, (level, one) in enumerate(zip(node, levels, strict=True)):
        if one.sizes[level] > 1:
            parts.append(source.column(place, level, one))
            sizes.append(one.sizes[level])
    keys, bound = packed(parts, sizes, len(source.first))
    up, count = numbered(keys, bound)
    first = np.empty(count, dtype=np.int64)
    first[up] = source.first
    return Groups(node, source.leaves, first, summed(up, source.rows, count), source, up)


def packed(parts: Sequence[Ints], sizes: Sequence[int], length: int) -> tuple[Ints, int]:
    """One key of several codes, and what all keys are below."""
    keys, bound = np.zeros(length, dtype=np.int64), 1
    for part, size in zip(parts, sizes, strict=True):
        if bound * size >= WIDEST:
            keys, bound = numbered(keys, bound)
        if bound > 1:
            keys *= size
        keys += part
        bound *= size
    return keys, bound


def numbered(keys: Ints, bound: int) -> tuple[Ints, int]:
    """The rank of each key among the distinct ones, and how many these are."""
    if bound <= SPARSE * len(keys) + FEW:
        there = np.zeros(bound, dtype=np.bool_)
        there[keys] = True
        ranks = np.cumsum(there, dtype=np.int64)
        return ranks[keys] - 1, int(ranks[-1]) if bound else 0
    order, fresh = _sorted(keys, bound)
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[order] = np.cumsum(fresh) - 1
    return ranks, int(fresh.sum())


def paired(own: Ints, values: Ints, counts: Ints, classes: int, size: int) -> Pairs:
    """Equal pairs of class and value put together."""
    keys, bound = own * size + values, classes * size
    if bound <= SPARSE * len(keys) + FEW:
        sums = np.bincount(keys, counts, bound)
        found = np.flatnonzero(sums)
        sums = sums[found]
    else:
        order, fresh = _sorted(keys, bound)
        starts = np.flatnonzero(fresh)
        found, sums = keys[order[starts]], np.add.reduceat(counts[order], starts)
    classed, value = np.divmod(found, size)
    return Pairs(classed, value, sums.astype(np.int64), size)


def summed(up: Ints, counts: Ints, classes: int) -> Ints:
    return np.bincount(up, counts, classes).astype(np.int64)


def _sorted(keys: Ints, bound: int) -> tuple[Ints, Marks]:
    """The order of the keys, and where in it another key begins."""
    places = len(keys).bit_length()
    if bound << places < 2**63:  # the place travels with its key, so numbers alone are sorted
        both = (keys << places) | np.arange(len(keys))
        both.sort()
        order, ranked = both & ((1 << places) - 1), both >> places
    else:
        order = np.argsort(keys, kind="stable")
        ranked = keys[order]
    fresh = np.empty(len(keys), dtype=np.bool_)
    fresh[:1] = True
    np.not_equal(ranked[1:], ranked[:-1], out=fresh[1:])
    return order, fresh


def leaves_of(
    codes: Sequence[Ints],
    sizes: Sequence[int],
    values: dict[str, tuple[Ints, int]],
    population: Sequence[Ints] | None = None,
) -> Leaves:
    """From the leaf of each row in each column; `values`: codes and their bound of sensitive columns and subjects."""
    total = len(codes[0])
    every = [np.concatenate(both) for both in zip(codes, population, strict=True)] if population else list(codes)
    keys, bound = packed(every, sizes, len(every[0]))
    own, count = numbered(keys, bound)
    first = np.empty(count, dtype=np.int64)
    first[own] = np.arange(len(own))
    row = own[:total]
    ones: Any = np.ones(total, dtype=np.int64)
    return Leaves(
        tuple(column[first] for column in every),
        np.bincount(row, minlength=count).astype(np.int64),
        row,
        {name: paired(row, code, ones, count, size) for name, (code, size) in values.items()},
        np.bincount(own[total:], minlength=count).astype(np.int64) if population else None,
    )
