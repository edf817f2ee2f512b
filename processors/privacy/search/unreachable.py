"""What is said when no combination of levels keeps what is asked: why, and the nearest setting that does.

Always holds: the coarsest classes reach the most of every demand, so a setting that they keep can be met.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from processors.privacy.guarantees.diversity import entropy, recursive
from processors.privacy.guarantees.enough import distance
from processors.privacy.guarantees.requested import Closeness, Diversity
from processors.privacy.search.demands import Demands, judge, people, subjects
from processors.privacy.search.rollup import Groups

DIGITS = 4  # of a threshold that is told


@dataclass(frozen=True)
class Unreachable:
    """`limit` is a share of rows that, suppressed, would do, None if none would; `demands` can be met as it is."""

    wrong: tuple[str, ...]
    limit: float | None
    demands: Demands

    def __str__(self) -> str:
        asked = "; ".join(self.wrong)
        instead = "" if self.limit is None else f", or let {self.limit:.2%} of the rows be suppressed"
        return f"{asked}; ask for no more than that{instead}"


def unreachable(top: Groups, asked: Demands, limit: float, fewest: int) -> Unreachable:
    """From the coarsest classes of all, and the fewest rows that failed in a node."""
    total = int(top.rows.sum())
    verdict = judge(top, asked, total)
    most = math.floor(limit * total + 1e-9)
    nearest = replace(
        asked,
        k=min(asked.k, _reached_k(top, asked, most)),
        diversity=tuple(_reached_l(top, one) for one in asked.diversity),
        closeness=tuple(_reached_t(top, one) for one in asked.closeness),
        presence=_reached_presence(top, asked),
    )
    share = math.ceil(min(fewest, int(top.rows[verdict.failing].sum())) / total * 10**DIGITS) / 10**DIGITS
    return Unreachable(tuple(_lacking(asked, nearest, limit)), None if verdict.barred else share, nearest)


def _reached_k(top: Groups, asked: Demands, most: int) -> int:
    """The largest k that leaves no more rows out than may be; with other demands, the largest that leaves none."""
    there = top.rows > 0
    sizes = (top.rows if asked.subject is None else subjects(top, asked.subject))[there]
    order = np.argsort(sizes, kind="stable")
    alone = not (asked.diversity or asked.closeness or asked.presence)
    gone = np.cumsum(top.rows[there][order]) <= (most if alone else 0)
    # classes of one size are left out together
    kept = sizes[order][~gone]
    return int(kept[0]) if len(kept) else int(sizes.max(initial=0))


def _reached_l(top: Groups, asked: Diversity) -> Diversity:
    _, segments = top.pairs(asked.column).segments()
    if asked.kind == "recursive":
        if float(segments.distinct.min()) < asked.l:
            asked = replace(asked, l=float(segments.distinct.min()))
        c = float(recursive(segments, int(asked.l)).max())
        return asked if c < (asked.c or 0.0) else replace(asked, c=math.floor(c * 10**DIGITS + 1) / 10**DIGITS)
    reached = float(segments.distinct.min() if asked.kind == "distinct" else entropy(segments).min())
    return asked if reached >= asked.l else replace(asked, l=math.floor(reached * 10**DIGITS) / 10**DIGITS)


def _reached_t(top: Groups, asked: Closeness) -> Closeness:
    pairs = top.pairs(asked.column)
    whole = np.bincount(pairs.values, pairs.counts, pairs.size).astype(np.int64)
    reached = float(distance(pairs.segments()[1], whole, asked.distance).max())
    return asked if reached <= asked.t else replace(asked, t=math.ceil(reached * 10**DIGITS) / 10**DIGITS)


def _reached_presence(top: Groups, asked: Demands) -> tuple[float, float] | None:
    if asked.presence is None or top.known is None:
        return asked.presence
    shares = people(top, asked) / top.known
    low = math.floor(float(shares.min()) * 10**DIGITS) / 10**DIGITS
    high = math.ceil(float(shares.max()) * 10**DIGITS) / 10**DIGITS
    return min(asked.presence[0], low), max(asked.presence[1], high)


def _lacking(asked: Demands, nearest: Demands, limit: float) -> Iterator[str]:
    at_most = f" with at most {limit:.2%} of the rows suppressed" if limit else ""
    if nearest == asked:
        yield f"what is asked can't be kept together{at_most}"
    if nearest.k < asked.k:
        yield f"k = {asked.k} can't be reached{at_most}: at the coarsest levels k is {nearest.k}"
    for want, one in zip(asked.diversity, nearest.diversity, strict=True):
        if want != one and want.kind == "recursive":
            wanted = f"recursive l = {want.l:g} of {want.column} at c = {want.c:g}"
            yield f"{wanted} can't be reached: l = {one.l:g} at c = {one.c:g} can"
        elif want != one:
            yield f"{want.kind} l = {want.l:g} of {want.column} can't be reached: {one.l:g} can"
    for near, other in zip(asked.closeness, nearest.closeness, strict=True):
        if near != other:
            yield f"t = {near.t:g} of {near.column} can't be reached: {other.t:g} can"
    if asked.presence != nearest.presence and nearest.presence is not None:
        low, high = nearest.presence
        yield f"presence can't be kept within its bounds: from {low:g} to {high:g} it can"
