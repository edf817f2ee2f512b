"""l-diversity of every class: distinct, entropy and recursive (c, l) (Machanavajjhala and others, 2007).

Always holds: a number is what the class reaches, never whether that is enough. Knows no threshold.
"""

from __future__ import annotations

import numpy as np

from processors.privacy.guarantees.classes import Floats, Integers, Segments


def entropy(segments: Segments) -> Floats:
    """The exponential of the entropy of each class (natural logarithms): as many equally frequent values have it."""
    counts, sizes = segments.counts, segments.sizes
    weighed = segments.sums(counts * np.log(counts))
    return np.exp(np.log(sizes) - weighed / sizes)


def recursive(segments: Segments, least: int) -> Floats:
    """r1 / (rl + ... + rm) of each class for l = `least`, infinite where the class has fewer than l values.

    The values of a class are taken by falling frequency. The class is (c, l)-diverse for every c above this number.
    """
    if least < 1:
        raise ValueError("l is at least 1")
    falling = _falling(segments)
    first = falling[segments.starts]
    sums = np.concatenate([[0], np.cumsum(falling)])
    ends = segments.starts + segments.distinct
    rest = sums[ends] - sums[np.minimum(segments.starts + least - 1, ends)]
    ratios: Floats = np.divide(first, rest, out=np.full(len(first), np.inf), where=rest > 0)
    return ratios


def largest_share(segments: Segments) -> Floats:
    """The share of the most frequent value of each class: alpha of (alpha, k)-anonymity."""
    return segments.most(segments.counts) / segments.sizes


def _falling(segments: Segments) -> Integers:
    """The counts, within each segment by falling frequency."""
    own = np.repeat(np.arange(len(segments.starts)), segments.distinct)
    return segments.counts[np.lexsort((-segments.counts, own))]
