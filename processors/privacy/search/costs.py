"""What a node of a lattice costs, and what nodes below and above it cost at least.

Always holds: a bound is never above the loss of a node that it is of. `finer` bounds come from classes that fail for
good: their rows are suppressed in every finer node as well. `coarser` ones come from classes, which only grow.
Knows no guarantee.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from processors.privacy.domains.levels import Floats, Levels
from processors.privacy.search.rollup import Groups, Leaves, Marks, Node

Bound = NDArray[np.float64] | float


class Cost(Protocol):
    """`floor` has a bound for every node before any class is known."""

    floor: Floats

    def loss(self, groups: Groups, failing: Marks) -> float: ...

    def finer(self, groups: Groups, lasting: Marks) -> Bound:
        """Of the node and all below it, as an array over these, or one number for all."""

    def coarser(self, groups: Groups) -> float:
        """Of the node and all above it."""


class CellCost:
    """The average over cells, a suppressed cell counting 1; `share` tells what each group of a level costs."""

    def __init__(self, leaves: Leaves, levels: Sequence[Levels], share: Callable[[Levels, int], Floats]) -> None:
        self._levels = levels
        self._rows = leaves.total
        self._shares = [
            np.stack([share(one, level)[one.groups[level]] for level in range(one.height + 1)]) for one in levels
        ]
        self._parts = self._averages(leaves.columns, leaves.rows)
        self.floor = _spread(self._parts)

    def loss(self, groups: Groups, failing: Marks) -> float:
        out = np.flatnonzero(failing)
        parts = self._averages([column[groups.first[out]] for column in groups.leaves.columns], groups.rows[out])
        spared = sum(float(part[level]) for part, level in zip(parts, groups.node, strict=True))
        return float(self.floor[groups.node]) + float(groups.rows[out].sum()) / self._rows - spared

    def finer(self, groups: Groups, lasting: Marks) -> Bound:
        box = tuple(slice(0, level + 1) for level in groups.node)
        if not lasting.any():
            return 0.0
        out = np.flatnonzero(lasting[groups.own])
        rows = groups.leaves.rows[out]
        parts = self._averages([column[out] for column in groups.leaves.columns], rows, groups.node)
        return self.floor[box] + (float(rows.sum()) / self._rows - _spread(parts))

    def coarser(self, groups: Groups) -> float:
        return 0.0

    def _averages(self, columns: Sequence[NDArray[np.int64]], rows: NDArray[np.int64], top: Node = ()) -> list[Floats]:
        """For each column and level what these rows' cells add to the average."""
        cells = max(1, self._rows) * len(self._levels)
        counted = [
            np.bincount(column, rows, shares.shape[1]) for column, shares in zip(columns, self._shares, strict=True)
        ]
        tops = top or tuple(one.height for one in self._levels)
        return [
            (shares[: level + 1] * count).sum(axis=1) / cells
            for shares, count, level in zip(self._shares, counted, tops, strict=True)
        ]


class Discernibility:
    """The square of each class's size; each suppressed row counts as many as there are rows."""

    def __init__(self, leaves: Leaves, levels: Sequence[Levels]) -> None:
        self._rows = leaves.total
        self.floor = np.full([one.height + 1 for one in levels], float(self._rows))

    def loss(self, groups: Groups, failing: Marks) -> float:
        sizes = groups.rows.astype(np.float64)
        return float(np.where(failing, sizes * self._rows, sizes * sizes).sum())

    def finer(self, groups: Groups, lasting: Marks) -> Bound:
        out = int(groups.rows[lasting].sum())
        return float(out * self._rows + self._rows - out)

    def coarser(self, groups: Groups) -> float:
        sizes = groups.rows.astype(np.float64)
        return float((sizes * sizes).sum())


class ClassSize:
    """Rows of a class on average, where all suppressed rows count as one class."""

    def __init__(self, leaves: Leaves, levels: Sequence[Levels]) -> None:
        self._rows = leaves.total
        self.floor = np.ones([one.height + 1 for one in levels])

    def loss(self, groups: Groups, failing: Marks) -> float:
        there = groups.rows > 0
        return self._rows / (int((there & ~failing).sum()) + bool((there & failing).any()))

    def finer(self, groups: Groups, lasting: Marks) -> Bound:
        return 1.0

    def coarser(self, groups: Groups) -> float:
        return self._rows / int((groups.rows > 0).sum())


def _spread(parts: Sequence[Floats]) -> Floats:
    """The sum of one number of each column, for every node."""
    total = parts[0]
    for part in parts[1:]:
        total = np.add.outer(total, part)
    return total


COSTS: Final[dict[str, Callable[[Leaves, Sequence[Levels]], Cost]]] = {
    "ncp": lambda leaves, levels: CellCost(leaves, levels, lambda one, level: one.shares[level]),
    "leaves": lambda leaves, levels: CellCost(leaves, levels, lambda one, level: one.leaf_shares(level)),
    "discernibility": Discernibility,
    "class_size": ClassSize,
}
