"""What the name of an interval of codes covers, and how an interval is cut so that no name covers another's values.

A name may say more than the values it was made for: the narrowest group of a hierarchy has leaves besides, and `*` is
all there is. Always holds: a narrower interval has a name that covers no more; nulls are covered where they are told
and nowhere else; cut along branches, or anywhere where names are exact, the names of the pieces share no value that the
interval has. Knows how `dimension` names; knows no class and no guarantee.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from processors.privacy.domains.dimension import Dimension
from processors.privacy.domains.naming import ANY, NULL
from processors.privacy.domains.points import Codes, Ints, Marks
from processors.privacy.domains.scale import Scale
from processors.privacy.domains.taxonomy import NAMED, Flat, Taxonomy

Bounds = tuple[Ints, Ints]


class Cover(Protocol):
    """Of one quasi-identifier; intervals are of codes that aren't null, 0 to 0 is none."""

    def covered(self, low: Ints, high: Ints) -> Bounds:
        """The codes, from the first to the last, that the name of each interval stands for."""
        ...

    def exact(self, low: Ints, high: Ints) -> Marks:
        """Whether each interval, and every piece of it, has a name that covers just its codes."""
        ...

    def branches(self, low: Ints, high: Ints, part: Ints, codes: Codes) -> Ints:
        """To which piece of its interval, which `part` tells, each code belongs; pieces ascend with the codes."""
        ...


def cover(dimension: Dimension) -> Cover:
    if isinstance(dimension, Scale):
        return _OnAGrid()
    if isinstance(dimension, Flat):
        return _SideBySide(dimension)
    if isinstance(dimension, Taxonomy):
        return _InATree(dimension)
    raise TypeError(f"nobody knows what names of {type(dimension).__name__} cover")


def unclear(dimension: Dimension) -> bool:
    """Whether a name may be read in two ways: then nobody knows what it covers."""
    if isinstance(dimension, Flat):
        return any("|" in leaf or leaf in (ANY, NULL) for leaf in dimension.leaves)
    return isinstance(dimension, Taxonomy) and _InATree(dimension).unclear


@dataclass(frozen=True)
class _OnAGrid:
    def covered(self, low: Ints, high: Ints) -> Bounds:
        return low, high

    def exact(self, low: Ints, high: Ints) -> Marks:
        return np.ones(len(low), dtype=np.bool_)

    def branches(self, low: Ints, high: Ints, part: Ints, codes: Codes) -> Ints:
        return codes.astype(np.int64)


@dataclass(frozen=True)
class _SideBySide:
    """Up to so many values are named one by one."""

    axis: Flat

    def covered(self, low: Ints, high: Ints) -> Bounds:
        exact = self.exact(low, high)
        return np.where(exact, low, 1), np.where(exact, high, self.axis.size - 1)

    def exact(self, low: Ints, high: Ints) -> Marks:
        return (high - low < NAMED) & (high <= len(self.axis.leaves))

    def branches(self, low: Ints, high: Ints, part: Ints, codes: Codes) -> Ints:
        return (codes.astype(np.int64) - 1) // NAMED


@dataclass(frozen=True)
class _InATree:
    axis: Taxonomy

    @cached_property
    def _spans(self) -> list[tuple[Ints, Ints]]:
        """Of each level the first and the last code of its groups; what is called as the root is has what is no leaf,
        too."""
        found = []
        root = self.axis.labels[-1][0]
        for labels, groups, below in zip(self.axis.labels, self.axis.groups, self.axis.below, strict=True):
            first = np.unique(groups, return_index=True)[1].astype(np.int64) + 1
            last = first + below - 1
            if len(labels) == 1 and labels[0] == root:
                last = last + 1
            found.append((first, last))
        return found

    @property
    def unclear(self) -> bool:
        spans: dict[str, tuple[int, int]] = {}
        everything = (1, self.axis.size - 1)
        for labels, (first, last) in zip(self.axis.labels, self._spans, strict=True):
            for label, *span in zip(labels, first.tolist(), last.tolist(), strict=True):
                known = spans.setdefault(label, (span[0], span[1]))
                if (
                    known != (span[0], span[1])
                    or label.startswith(f"{NULL}|")
                    or (label == ANY and known != everything)
                ):
                    return True
        return False

    def covered(self, low: Ints, high: Ints) -> Bounds:
        level, leaf = self._place(low, high)
        first, last = np.zeros_like(leaf), np.zeros_like(leaf)
        for number, (starts, ends) in enumerate(self._spans):
            at = np.flatnonzero((level == number) & (high > 0))
            group = self.axis.groups[number, leaf[at]]
            first[at], last[at] = starts[group], ends[group]
        return first, last

    def exact(self, low: Ints, high: Ints) -> Marks:
        return np.asarray((low == high) & (high <= len(self.axis.leaves)))

    def branches(self, low: Ints, high: Ints, part: Ints, codes: Codes) -> Ints:
        level = np.maximum(self._place(low, high)[0] - 1, 0)
        leaves = len(self.axis.leaves)
        group = self.axis.groups[level[part], np.clip(codes.astype(np.int64) - 1, 0, leaves - 1)]
        return np.where(codes > leaves, leaves, group).astype(np.int64)

    def _place(self, low: Ints, high: Ints) -> Bounds:
        """The level of the narrowest group that has both, and a leaf of it."""
        leaf = np.clip(low - 1, 0, len(self.axis.leaves) - 1)
        return self.axis.level(low, high), leaf.astype(np.int64)
