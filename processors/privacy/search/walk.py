"""The walk through a lattice of levels to the node of least loss: which nodes are looked at, and which need not be.

Always holds: a node that was not looked at fails, or costs no less than the best. If more rows fail for good in a node
than may be suppressed, they do in every finer one; where nothing may be suppressed that is so of every demand; a bound
rules out what costs too much. Knows no demand and no metric by name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from processors.privacy.domains.levels import Floats, Levels
from processors.privacy.search.costs import COSTS, Cost
from processors.privacy.search.demands import Demands, Verdict, judge, people
from processors.privacy.search.rollup import Groups, Leaves, Marks, Node, base, rolled

HEIGHT: Final = 0.7  # of a path upward: more nodes fall with a node that fails than with one that is too dear
KEPT: Final = 256  # classes of so many nodes are kept to start from
ROOM: Final = 1 << 24  # numbers that these have together
SLACK: Final = 1e-12  # of the best loss: nodes that are no better by more than rounding are as good


@dataclass(frozen=True)
class Optimum:
    """`levels` of each column; `kept` marks the rows that are not suppressed; `looked_at` of all `nodes`.

    `presence`: the least and the most share of a kept class's people in the population, if one is given.
    """

    levels: dict[str, int]
    metric: str
    loss: float
    ncp: float
    discernibility: int
    average_class_size: float
    classes: int
    suppressed: int
    kept: Marks
    looked_at: int
    nodes: int
    presence: tuple[float, float] | None = None


class Walk:
    """Bounds of all nodes, infinite for those that are done with; the classes and marks of the best one so far."""

    def __init__(self, leaves: Leaves, levels: Sequence[Levels], asked: Demands, most: int, metric: str) -> None:
        self._leaves, self._levels, self._asked, self._most, self._metric = leaves, levels, asked, most, metric
        self._cost: Cost = COSTS[metric](leaves, levels)
        self._bounds: Floats = self._cost.floor.astype(np.float64, order="C")
        self._order = self._bounds.copy()
        self._base = base(leaves)
        self._starts = [self._base]
        self._nodes = np.zeros((KEPT, len(levels)), dtype=np.int64)
        self._lengths = np.full(KEPT, len(self._base.rows))
        self._room = ROOM
        self._steps = [int(np.prod(self._bounds.shape[at + 1 :])) for at in range(len(levels))]
        self._found: tuple[Groups, Marks] | None = None
        self._best, self._looked_at, self.fewest = math.inf, 0, leaves.total

    def run(self, names: Sequence[str]) -> Optimum | None:
        """The best node, its levels by the columns' names; None if no node keeps what is asked."""
        if not self._leaves.total:
            return self._optimum(names, self._base, np.zeros(len(self._base.rows), dtype=np.bool_))
        flat = self._bounds.reshape(-1)
        while flat[lowest := int(flat.argmin())] < self._enough():
            path = self._path(lowest)
            self._look(tuple(map(int, np.unravel_index(path[int(len(path) * HEIGHT)], self._bounds.shape))))
        return None if self._found is None else self._optimum(names, *self._found)

    def top(self) -> Groups:
        """The coarsest classes of all."""
        return self._at(tuple(one.height for one in self._levels))

    def _at(self, node: Node) -> Groups:
        """The classes of a node, from the fewest classes known that are finer."""
        finer = np.flatnonzero((self._nodes[: len(self._starts)] <= node).all(axis=1))
        start = self._starts[int(finer[self._lengths[finer].argmin()])]
        return rolled(start, node, self._levels)

    def _optimum(self, names: Sequence[str], groups: Groups, failing: Marks) -> Optimum:
        sizes = groups.rows[(groups.rows > 0) & ~failing]
        out = int(groups.rows[failing].sum())
        total = self._leaves.total
        return Optimum(
            levels=dict(zip(names, groups.node, strict=True)),
            metric=self._metric,
            loss=self._best if total else 0.0,
            ncp=COSTS["ncp"](self._leaves, self._levels).loss(groups, failing) if total else 0.0,
            discernibility=sum(size * size for size in sizes.tolist()) + out * total,
            average_class_size=float(sizes.mean()) if len(sizes) else 0.0,
            classes=len(sizes),
            suppressed=out,
            kept=~failing[groups.own[self._leaves.row]],
            looked_at=self._looked_at,
            nodes=self._bounds.size,
            presence=self._presence(groups, failing),
        )

    def _presence(self, groups: Groups, failing: Marks) -> tuple[float, float] | None:
        kept = np.flatnonzero((groups.rows > 0) & ~failing)
        if groups.known is None or not len(kept):
            return None
        shares = people(groups, self._asked)[kept] / groups.known[kept]
        return float(shares.min()), float(shares.max())

    def _enough(self) -> float:
        return self._best - SLACK * max(1.0, self._best) if self._best < math.inf else self._best

    def _path(self, place: int) -> list[int]:
        """From a node upward, by the cheapest step, through nodes that are still in question."""
        flat, order, enough = self._bounds.reshape(-1), self._order.reshape(-1), self._enough()
        left = [
            one.height - int(level)
            for one, level in zip(self._levels, np.unravel_index(place, self._bounds.shape), strict=True)
        ]
        path = [place]
        while True:
            ways = [
                (order[place + step], at, step)
                for at, step in enumerate(self._steps)
                if left[at] and flat[place + step] < enough
            ]
            if not ways:
                return path
            _, at, step = min(ways)
            left[at] -= 1
            place += step
            path.append(place)

    def _keep(self, groups: Groups) -> None:
        """As a start for coarser nodes, in place of the oldest if there is no room; the finest of all stays."""
        needed = len(groups.up) + 2 * len(groups.rows)
        if 2 * len(groups.rows) > len(self._base.rows) or needed > ROOM // 2:
            return
        while len(self._starts) == KEPT or self._room < needed:
            oldest = self._starts.pop(1)
            self._room += len(oldest.up) + 2 * len(oldest.rows)
            self._nodes[1:-1], self._lengths[1:-1] = self._nodes[2:], self._lengths[2:]
        place = len(self._starts)
        self._starts.append(groups)
        self._nodes[place], self._lengths[place] = groups.node, len(groups.rows)
        self._room -= needed

    def _look(self, node: Node) -> None:
        groups = self._at(node)
        self._looked_at += 1
        self._keep(groups)
        verdict = judge(groups, self._asked, self._most)
        below = tuple(slice(0, level + 1) for level in node)
        above = tuple(slice(level, None) for level in node)
        lasting, failing = (int(groups.rows[marks].sum()) for marks in (verdict.lasting, verdict.failing))
        if verdict.barred or lasting > self._most or (not self._most and failing):
            self._bounds[below] = math.inf
            return
        self.fewest = min(self.fewest, failing)
        if failing <= self._most:
            self._take(groups, verdict)
        np.maximum(self._bounds[below], self._cost.finer(groups, verdict.lasting), out=self._bounds[below])
        np.maximum(self._bounds[above], self._cost.coarser(groups), out=self._bounds[above])
        self._bounds[node] = math.inf

    def _take(self, groups: Groups, verdict: Verdict) -> None:
        loss = self._cost.loss(groups, verdict.failing)
        if loss < self._enough():
            self._best, self._found = loss, (groups, verdict.failing)
