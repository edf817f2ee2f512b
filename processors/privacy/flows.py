"""Matchings of counted rows as flows: as many as can be matched, and how far one pair's share can move in that.

Knows numbers alone: how many each side has, and which pairs may meet.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_ALL = 1 << 62


def matched(have: Ints, has: Ints, pairs: Mask) -> Ints:
    """As many records matched as can be: how many of each pair of classes."""
    x = np.zeros(pairs.shape, dtype=np.int64)
    have, has = have.copy(), has.copy()
    for p, q in np.argwhere(pairs).tolist():
        amount = min(have[p], has[q])
        x[p, q] += amount
        have[p] -= amount
        has[q] -= amount
    width = len(have)
    ends = {width + q for q in np.flatnonzero(has).tolist()}
    for p in np.flatnonzero(have).tolist():
        while have[p] and (path := _path(x, pairs, p, ends)):
            amount = min(int(have[p]), int(has[path[-1] - width]), _shift(x, path, 0))
            _shift(x, path, amount)
            have[p] -= amount
            has[path[-1] - width] -= amount
            ends = {width + q for q in np.flatnonzero(has).tolist()}
    return x


def room(x: Ints, free: Mask, p: int, q: int, *, grow: bool) -> int:
    """By how many records of one value this pair of classes may have more, or fewer, in another way to match them."""
    if x.size <= 4:  # a class of each version: there is one way
        return 0
    free, x, left = free.copy(), x.copy(), _ALL if grow else int(x[p, q])
    free[p, q], x[p, q] = False, 0  # what the pair itself has is moved along no path
    start, end, moved = (len(x) + q, p, 0) if grow else (p, len(x) + q, 0)
    while left and (path := _path(x, free, start, {end})):
        amount = min(left, _shift(x, path, 0))
        _shift(x, path, amount)
        left, moved = left - amount, moved + amount
    return moved


def _path(x: Ints, free: Mask, start: int, ends: set[int]) -> list[int]:
    """A shortest way from class to class, to a later one by a cell that may grow, back by one that may shrink."""
    width = len(x)
    came: dict[int, int] = {start: -1}
    line = [start]
    for node in line:
        if node in ends and node != start:
            path = [node]
            while came[path[-1]] >= 0:
                path.append(came[path[-1]])
            return path[::-1]
        nexts = np.flatnonzero(free[node]) + width if node < width else np.flatnonzero(x[:, node - width])
        for other in nexts.tolist():
            if other not in came:
                came[other] = node
                line.append(other)
    return []


def _shift(x: Ints, path: list[int], amount: int) -> int:
    """Moves so many records along a path; gives how many could be moved."""
    width = len(x)
    most = _ALL
    for one, other in pairwise(path):
        if one < width:
            x[one, other - width] += amount
        else:
            most = min(most, int(x[other, one - width]))
            x[other, one - width] -= amount
    return most
