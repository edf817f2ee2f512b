"""Whether what classes reach is as much as is asked, up to rounding."""

from __future__ import annotations

from typing import Final

from processors.privacy.domains.points import Marks
from processors.privacy.guarantees import closeness, diversity
from processors.privacy.guarantees.classes import Floats, Integers, Segments
from processors.privacy.guarantees.requested import Diversity

SLACK: Final = 1e-9  # what rounding may take from a figure that is compared with a threshold


def meets(figure: float, asked: float) -> bool:
    """Whether a figure is as large as asked: the entropy of three equal values is a little under 3."""
    return figure >= asked * (1 - SLACK)


def diverse(segments: Segments, asked: Diversity) -> Marks:
    """Which classes are as diverse as asked."""
    if asked.kind == "distinct":
        return segments.distinct >= asked.l
    if asked.kind == "entropy":
        return diversity.entropy(segments) >= asked.l * (1 - SLACK)
    return diversity.recursive(segments, int(asked.l)) < (asked.c or 0.0)


def distance(segments: Segments, reference: Integers, kind: str) -> Floats:
    """How far each class is from the reference: t has to be as much."""
    if kind == "equal":
        return closeness.equal_distance(segments, reference)
    return closeness.ordered_distance(segments, reference)
