"""Matchings of counted records as flows: as many as can be matched, and how far one pair's share can move in that.

Holds the records of one value: so many on each place of either side, and which places may meet. Always holds: what is
matched is as much as can be, whichever way was moved last. Knows numbers alone. Looking for ways costs steps, which are
taken from a budget that many flows share; when it is used up `SpentError` is raised, and nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

NOBODY: Final = -1  # the place, on either side, of those who are on the other side alone


class SpentError(Exception):
    """No more steps may be taken."""


@dataclass
class Budget:
    """How many steps may still be taken."""

    steps: int

    def take(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise SpentError


class Flow:
    """`have` and `has` are the records on each place of the earlier and the later side, `near` what may meet what.

    Nodes are the places of both sides in a row and two more: where those who left are matched, and who came.
    """

    def __init__(self, have: Sequence[int], has: Sequence[int], near: Sequence[Sequence[int]], budget: Budget) -> None:
        first, last = len(have), len(have) + len(has)
        self._first, self._left, self._came, self._budget = first, last, last + 1, budget
        self._near = [[first + q for q in own] for own in near]
        self._to: list[dict[int, int]] = [{self._left: count} for count in have]  # of each earlier place, x > 0
        self._from: list[dict[int, int]] = [{} for _ in range(last + 2)]  # the same by the later place
        self._from[self._left] = {p: count for p, count in enumerate(have) if count}
        self._unmet = {first + q: count for q, count in enumerate(has) if count}  # x of who came
        for q in self._unmet:
            self._from[q][self._came] = self._unmet[q]
        self._match()

    def amount(self, p: int, q: int) -> int:
        """How many are on the earlier place p and the later place q, as things are matched now."""
        if p == NOBODY:
            return self._unmet.get(self._first + q, 0)
        return self._to[p].get(self._left if q == NOBODY else self._first + q, 0)

    def move(self, p: int, q: int, most: int, *, grow: bool) -> Iterator[tuple[int, int]]:
        """Matches up to `most` records of the pair otherwise, or others as the pair; gives the pairs that change."""
        one = self._came if p == NOBODY else p
        other = self._left if q == NOBODY else self._first + q
        while most:
            path = self._path(other, one, one, other) if grow else self._path(one, other, one, other)
            if not path:
                return
            amount = min(most, self._narrowest(path))
            changes = [*self._steps(path, amount), (one, other, amount if grow else -amount)]
            for a, b, change in changes:
                self._add(a, b, change)
                yield NOBODY if a == self._came else a, NOBODY if b == self._left else b - self._first
            most -= amount

    def _match(self) -> None:
        for p, own in enumerate(self._near):
            for q in own:
                amount = min(self._to[p].get(self._left, 0), self._unmet.get(q, 0))
                if amount:
                    self._meet([p, q], amount)
        dead: set[int] = set()  # from where nobody is reached who is still to be met
        for p in range(self._first):
            while self._to[p].get(self._left, 0) and (path := self._to_unmet(p, dead)):
                amount = min(self._to[p][self._left], self._unmet[path[-1]], self._narrowest(path))
                self._meet(path, amount)

    def _meet(self, path: list[int], amount: int) -> None:
        ends = (path[0], self._left, -amount), (self._came, path[-1], -amount)
        for a, b, change in [*self._steps(path, amount), *ends]:
            self._add(a, b, change)

    def _to_unmet(self, start: int, dead: set[int]) -> list[int]:
        """A way from an earlier place to a later one that has records unmatched; what it saw in vain is dead."""
        came, line = {start: -1}, [start]
        for node in line:
            nexts = self._near[node] if node < self._first else [p for p in self._from[node] if p != self._came]
            self._budget.take(len(nexts))
            for other in nexts:
                if other in came or other in dead:
                    continue
                came[other] = node
                if other in self._unmet:
                    return _back(came, other)
                line.append(other)
        dead.update(line)
        return []

    def _path(self, start: int, end: int, p: int, q: int) -> list[int]:
        """A way from place to place, to a later one always, back where records are matched; not by the pair itself."""
        came, line = {start: -1}, [start]
        for node in line:
            nexts = self._nexts(node)
            self._budget.take(len(nexts))
            for other in nexts:
                if other in came or (node == p and other == q) or (node == q and other == p):
                    continue
                came[other] = node
                if other == end:
                    return _back(came, other)
                line.append(other)
        return []

    def _nexts(self, node: int) -> Sequence[int]:
        if node == self._came:
            return range(self._first, self._left)
        if node < self._first:
            return [*self._near[node], self._left]
        return list(self._from[node])

    def _narrowest(self, path: list[int]) -> int:
        return min((self._from[a][b] for a, b in pairwise(path) if self._late(a)), default=1 << 62)

    def _steps(self, path: list[int], amount: int) -> Iterator[tuple[int, int, int]]:
        for a, b in pairwise(path):
            yield (b, a, -amount) if self._late(a) else (a, b, amount)

    def _late(self, node: int) -> bool:
        return self._first <= node <= self._left

    def _add(self, a: int, b: int, change: int) -> None:
        own = self._unmet if a == self._came else self._to[a]
        there = own.get(b, 0) + change
        if there:
            own[b] = self._from[b][a] = there
        else:
            own.pop(b, None)
            self._from[b].pop(a, None)


def _back(came: dict[int, int], node: int) -> list[int]:
    path = [node]
    while came[path[-1]] >= 0:
        path.append(came[path[-1]])
    return path[::-1]
