"""Strict Mondrian in plain Python, row by row and part by part: what the engine's is compared with.

Written from the paper (LeFevre and others, 2006) to be read, not to be fast. Rows are tuples of codes; a part is a list
of rows' numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

Row = Sequence[int]
Part = list[int]
Width = Callable[[int, int, int], float]  # dimension, low, high
Cut = Callable[[int, list[tuple[int, int]]], int | None]  # dimension, values with their counts: the last on the left


def groups(rows: Sequence[Row], width: Width, cut: Cut, keeps: Callable[[Part], bool]) -> list[Part]:
    """The classes; `keeps` says whether a part may be one."""
    if not rows:
        return []
    found: list[Part] = []
    waiting = [list(range(len(rows)))]
    while waiting:
        part = waiting.pop()
        halves = _halves(part, rows, width, cut, keeps)
        if halves is None:
            found.append(part)
        else:
            waiting += halves
    return found


def _halves(
    part: Part, rows: Sequence[Row], width: Width, cut: Cut, keeps: Callable[[Part], bool]
) -> tuple[Part, Part] | None:
    columns = list(zip(*(rows[i] for i in part), strict=True))
    wide = [width(d, min(column), max(column)) for d, column in enumerate(columns)]
    for d in sorted(range(len(columns)), key=lambda d: -wide[d]):
        if min(columns[d]) == max(columns[d]):
            continue
        last = cut(d, sorted(Counter(columns[d]).items()))
        if last is None:
            continue
        left = [i for i in part if rows[i][d] <= last]
        right = [i for i in part if rows[i][d] > last]
        if left and right and keeps(left) and keeps(right):
            return left, right
    return None


def at_median(_: int, counts: list[tuple[int, int]]) -> int | None:
    """The paper's cut: all up to the median go to the left. Where the median is the last value there is no cut."""
    half, seen = sum(count for _, count in counts) // 2, 0
    for value, count in counts[:-1]:
        seen += count
        if seen >= half:
            return value
    return None


def around_median(d: int, counts: list[tuple[int, int]]) -> int | None:
    """The same, but where the median is the last value it goes to the right alone, whichever way values are ordered."""
    found = at_median(d, counts)
    return counts[-2][0] if found is None else found


def nearest(k: int, depth: Callable[[int, int, int], int]) -> Cut:
    """The engine's cut: of those that leave k rows on both sides the one nearest to the root, then to the median."""

    def cut(d: int, counts: list[tuple[int, int]]) -> int | None:
        whole, left = sum(count for _, count in counts), 0
        best: tuple[int, int, int] | None = None
        for (value, count), (following, _) in pairwise(counts):
            left += count
            if min(left, whole - left) >= k:
                one = (depth(d, value, following), abs(whole - 2 * left), value)
                best = one if best is None else min(best, one)
        return None if best is None else best[2]

    return cut
