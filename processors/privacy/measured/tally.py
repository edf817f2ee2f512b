"""How often each key occurs: by counting where keys are dense, by sorting where they are not.

Always holds: keys come out ascending, each once, with the sum of its weights; beside the result little room is needed
where there are few keys for many points. Knows nothing of what a key stands for.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
CHUNK: Final = 1 << 20
SPARSE: Final = 4  # more bins than this for each point, and sorting is faster
FEW: Final = 1 << 16  # bins that are no matter at all


def tally(keys: NDArray[Any], weights: NDArray[Any], bins: int) -> tuple[Ints, Floats]:
    """The keys, integers from 0 to below `bins`, that occur, and the sum of the weights of each."""
    if bins > SPARSE * len(keys) + FEW:
        return _sorted(keys, weights)
    counts: Floats = np.bincount(keys[:CHUNK], weights[:CHUNK], bins).astype(np.float64, copy=False)
    for start in range(CHUNK, len(keys), CHUNK):
        counts += np.bincount(keys[start : start + CHUNK], weights[start : start + CHUNK], bins)
    found = np.flatnonzero(counts)
    return found, counts[found]


def _sorted(keys: NDArray[Any], weights: NDArray[Any]) -> tuple[Ints, Floats]:
    order = np.argsort(keys)
    keys = keys[order]
    starts = changes(keys)
    return keys[starts].astype(np.int64), np.add.reduceat(weights[order].astype(np.float64), starts)


def changes(column: NDArray[Any]) -> Ints:
    """Where a column, not empty, has another value than before; its beginning is one such place."""
    fresh = np.empty(len(column), dtype=np.bool_)
    fresh[:1] = True
    np.not_equal(column[1:], column[:-1], out=fresh[1:])
    return np.flatnonzero(fresh)


def ragged(starts: Ints, sizes: Ints) -> Ints:
    """The places of pieces that begin at `starts`, one piece after the other."""
    ends = np.cumsum(sizes)
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0)
