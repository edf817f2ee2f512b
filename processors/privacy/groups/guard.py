"""What each class of a table has to keep: k rows or k subjects, l and t of sensitive columns.

Always holds: if two groups keep it, so does what they make up together; t is measured against all rows of the release.
Knows nothing of quasi-identifiers and of how groups are formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from processors.privacy.domains.points import Codes, Ints, Marks
from processors.privacy.guarantees.classes import Segments
from processors.privacy.guarantees.enough import SLACK, distance, diverse
from processors.privacy.guarantees.requested import Closeness, Diversity
from processors.privacy.measured.tally import changes, tally


@dataclass(frozen=True)
class Sensitive:
    """A sensitive column by codes below `size`, in the order that the ordered distance goes by; null is a code too."""

    name: str
    codes: NDArray[np.int32]
    size: int
    diversity: tuple[Diversity, ...] = ()
    closeness: tuple[Closeness, ...] = ()


@dataclass(frozen=True)
class Guarded:
    """Without codes: what is left of a sensitive column once its codes are a column of the points."""

    name: str
    size: int
    diversity: tuple[Diversity, ...]
    closeness: tuple[Closeness, ...]
    reference: Ints

    def holds(self, segments: Segments) -> Marks:
        held = np.ones(len(segments.starts), dtype=np.bool_)
        for one in self.diversity:
            held &= diverse(segments, one)
        for other in self.closeness:
            held &= distance(segments, self.reference, other.distance) <= other.t + SLACK
        return held


@dataclass(frozen=True)
class Guard:
    """`subjects`: the first of the points' other columns is the subject, and k counts distinct ones."""

    k: int
    subjects: bool = False
    sensitive: tuple[Guarded, ...] = field(default=())

    @property
    def rows_alone(self) -> bool:
        """Whether counting rows is all that it asks for."""
        return not self.subjects and not self.sensitive

    def holds(self, group: NDArray[np.int32], groups: int, weights: Codes, others: Sequence[Codes]) -> Marks:
        """Which groups keep all but k by rows; `group` is the number of each point's group, none of them empty.

        Points of a group stand in the order of their subjects, though groups may be mixed two by two.
        """
        held = np.ones(groups, dtype=np.bool_)
        if self.subjects:
            held &= subjects(group, groups, others[0]) >= self.k
        for one, codes in zip(self.sensitive, others[self.subjects :], strict=True):
            held &= one.holds(segments(group, groups, codes, one.size, weights))
        return held


def subjects(group: NDArray[np.int32], groups: int, codes: Codes) -> Ints:
    """How many distinct subjects each group has; groups ascend but for an even one mixed with the odd one after it."""
    found = np.zeros(groups, dtype=np.int64)
    for side in (0, 1):
        own = np.flatnonzero((group & 1) == side)
        if len(own):
            fresh = np.zeros(len(own), dtype=np.bool_)
            fresh[changes(group[own])] = fresh[changes(codes[own])] = True
            found += np.bincount(group[own[fresh]], minlength=groups)
    return found


def segments(group: NDArray[np.int32], groups: int, codes: Codes, size: int, weights: Codes) -> Segments:
    """The sensitive values of each group with their numbers of rows."""
    keys, counts = tally(group.astype(np.int64) * size + codes, weights, groups * size)
    own, values = np.divmod(keys, size)
    domain = pl.int_range(size, eager=True)
    return Segments(pl.DataFrame(), domain, values, counts.astype(np.int64), changes(own))
