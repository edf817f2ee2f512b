"""What classes have to keep, and which classes of a node don't: k, l, t and delta-presence.

Always holds: what is `lasting` can't be mended by finer levels, since every part of such a class lacks it as well; that
is so of k by rows and by subjects and of the number of distinct values. Entropy, recursive l, t and presence are kept
by what is put together, yet a part of a class that fails may keep them. Knows no level and no loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from processors.privacy.guarantees.enough import SLACK, distance, diverse
from processors.privacy.guarantees.requested import Closeness, Diversity
from processors.privacy.search.rollup import Groups, Ints, Marks
from processors.wrong_config import MisfitError


@dataclass(frozen=True)
class Demands:
    """`presence`: bounds of the share that a class has of its people in the population, which has each of them once.

    `reference`: t is the distance to what is released, or to the table before anything was suppressed.
    """

    k: int = 1
    subject: str | None = None
    diversity: tuple[Diversity, ...] = ()
    closeness: tuple[Closeness, ...] = ()
    presence: tuple[float, float] | None = None
    reference: Literal["release", "table"] = "release"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise MisfitError(f"asks for k = {self.k}", "ask for 1 or more", ("k",))
        for one in self.diversity:
            if one.kind not in ("distinct", "entropy", "recursive"):
                raise MisfitError(f"asks for {one.kind} l", "ask for distinct, entropy or recursive", ("l",))
            if one.l < 1 or (one.kind == "recursive" and (one.l % 1 or not one.c or one.c <= 0)):
                raise MisfitError(
                    f"asks for l = {one.l:g}", "ask for 1 or more; recursive: whole, with c above 0", ("l",)
                )
        for near in self.closeness:
            if not 0 <= near.t <= 1 or near.distance not in ("equal", "ordered"):
                raise MisfitError(
                    f"asks for t = {near.t:g} by {near.distance} distance", "ask for 0 to 1, equal or ordered", ("t",)
                )
        if self.presence is not None and not 0 <= self.presence[0] <= self.presence[1] <= 1:
            raise MisfitError("has bounds of presence that are no range", "give two shares, ascending", ("presence",))

    @property
    def sensitive(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*(one.column for one in self.diversity), *(one.column for one in self.closeness)]))

    @property
    def least(self) -> int:
        """So many rows a class has at least."""
        return max(1, self.k, *(math.ceil(one.l) for one in self.diversity))


@dataclass(frozen=True)
class Verdict:
    """Marks of classes; of `barred` a node is refused whatever is suppressed."""

    lasting: Marks
    failing: Marks
    barred: bool = False


def judge(groups: Groups, asked: Demands, most: int) -> Verdict:
    """Which classes fail. Where more than `most` rows fail for good, nothing else is looked at."""
    lasting = _small(groups, asked)
    barred = _unreachable_presence(groups, asked)
    if barred or int(groups.rows[lasting].sum()) > most:
        return Verdict(lasting, lasting, barred)
    for one in asked.diversity:
        own, segments = groups.pairs(one.column).segments()
        lasting[own] |= segments.distinct < one.l
    failing = lasting.copy()
    for one in asked.diversity:
        if one.kind != "distinct":
            own, segments = groups.pairs(one.column).segments()
            failing[own] |= ~diverse(segments, one)
    if asked.presence is not None and groups.known is not None:
        shares = people(groups, asked) / groups.known
        low, high = asked.presence
        failing |= (groups.rows > 0) & ((shares < low) | (shares > high))
    _mark_distant(groups, asked, failing)
    return Verdict(lasting, failing)


def subjects(groups: Groups, column: str) -> Ints:
    """How many distinct subjects each class has."""
    return np.bincount(groups.pairs(column).own, minlength=len(groups.rows))


def people(groups: Groups, asked: Demands) -> Ints:
    """How many of the population each class has: its subjects, or its rows where nobody tells whose they are."""
    return groups.rows if asked.subject is None else subjects(groups, asked.subject)


def _small(groups: Groups, asked: Demands) -> Marks:
    there = groups.rows > 0
    small = there & (groups.rows < asked.least)
    if asked.subject is not None:
        small |= there & (subjects(groups, asked.subject) < asked.k)
    return small


def _unreachable_presence(groups: Groups, asked: Demands) -> bool:
    """Whether a class of the population has nobody in the table, though every class has to have some."""
    if asked.presence is None or groups.known is None:
        return False
    return asked.presence[0] > 0 and bool((groups.rows == 0).any())


def _mark_distant(groups: Groups, asked: Demands, failing: Marks) -> None:
    """As classes are left out the release changes, and others may become too distant from it; until none does."""
    whole = {one.column: _whole(groups, one.column, None) for one in asked.closeness}
    changed = True
    while changed:
        before = failing.copy()
        for one in asked.closeness:
            own, segments = groups.pairs(one.column).segments()
            against = whole[one.column]
            if asked.reference == "release":
                against = _whole(groups, one.column, before)
            if against.sum():
                failing[own] |= distance(segments, against, one.distance) > one.t + SLACK
        changed = asked.reference == "release" and bool((failing != before).any())


def _whole(groups: Groups, column: str, without: Marks | None) -> Ints:
    """How many rows have each value, but for classes that are left out."""
    pairs = groups.pairs(column)
    counts = pairs.counts if without is None else np.where(without[pairs.own], 0, pairs.counts)
    return np.bincount(pairs.values, counts, pairs.size).astype(np.int64)
