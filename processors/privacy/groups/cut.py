"""Where parts of a table are cut in two: the cut nearest to the median that leaves both halves k rows.

All parts are looked at at once. Always holds: a cut lies between two values that the part has. In a hierarchy the cut
nearest to the root is taken first, since a group that reaches across it is named by what is above it anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from processors.privacy.domains.points import Codes, Ints
from processors.privacy.measured.tally import changes, tally

Floats = NDArray[np.float64]
DEEPER: Final = 2.0**40  # what a level of depth weighs against rows of imbalance
TINY: Final = 1e-12


class Axis(Protocol):
    """One quasi-identifier as an ordered domain of codes from 0 to below `size`."""

    @property
    def size(self) -> int: ...

    @property
    def tree(self) -> bool:
        """Whether some cuts are better than others: then `depth` says so."""
        ...

    def width(self, low: Ints, high: Ints) -> Floats:
        """How wide each interval is, against the whole domain; 0 for one code."""
        ...

    def depth(self, below: Ints, above: Ints) -> Ints:
        """How far from the root the narrowest group lies that has both codes."""
        ...


def cuts(
    values: Codes,
    sizes: Ints,
    low: Ints,
    high: Ints,
    weights: Codes,
    rows: Floats,
    k: int,
    axes: Sequence[Axis],
    dimension: Ints,
) -> tuple[Ints, Ints]:
    """Which parts can be cut, and the last code of the left half of each of them.

    Of each part: its number of points, the bounds of its values, its rows, the dimension that the values are of.
    """
    spans = high - low + 1
    offsets = np.cumsum(spans) - spans
    keys, counts = tally(values + each(offsets - low, sizes), weights, int(offsets[-1] + spans[-1]))
    first = np.searchsorted(keys, offsets)
    part = np.repeat(np.arange(len(sizes)), np.diff(first, append=len(keys)))
    left = np.cumsum(counts)
    left -= (left[first] - counts[first])[part]
    right = rows[part] - left
    places = np.flatnonzero((left >= k) & (right >= k))
    if not len(places):
        return places, places
    cost = np.abs(left[places] - right[places])
    own = part[places]
    code = keys + (low - offsets)[part]
    for d in (d for d, axis in enumerate(axes) if axis.tree):
        at = np.flatnonzero(dimension[own] == d)
        cost[at] += DEEPER * axes[d].depth(code[places[at]], code[places[at] + 1])
    chosen = cheapest(own, cost)
    return own[chosen], code[places[chosen]]


def each(numbers: NDArray[Any], sizes: Ints) -> Any:
    """The number of its part for each point, or the number itself where there is one part only."""
    return numbers[0] if len(sizes) == 1 else np.repeat(numbers, sizes)


def cheapest(own: Ints, cost: Floats) -> Ints:
    """The first of the cheapest places of each part."""
    starts = changes(own)
    least = np.minimum.reduceat(cost, starts)
    best = np.flatnonzero(cost == np.repeat(least, np.diff(starts, append=len(own))))
    return best[changes(own[best])]


def widths(axes: Sequence[Axis], low: NDArray[np.int32], high: NDArray[np.int32]) -> Floats:
    """Of each dimension and part; an interval of several codes is a little wide at least."""
    found = np.empty(low.shape)
    for d, axis in enumerate(axes):
        found[d] = np.where(low[d] < high[d], np.maximum(axis.width(low[d], high[d]), TINY), 0.0)
    return found
