"""What comparing two versions can find, by its kind, and what is asked of a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

LEFT: Final = "left"  # of `before`, in no class of the later version
CAME: Final = "came"
COMMON: Final = "common"  # in class `before` of the earlier version and in class `after` of the later one
CHANGED: Final = "changed"  # the same, where rows are linked, and with other sensitive values
OUTSIDE_AFTER: Final = "outside after"  # in class `before`, and not in class `after`
OUTSIDE_BEFORE: Final = "outside before"
VALUE: Final = "value"  # everyone in both classes (or who left, or came) has one of too few values
UNDECIDED: Final = "undecided"
FEW: Final = "few"  # of totals: a group whose figures differ by fewer than k subjects
UNCOUNTED: Final = "uncounted"  # or by nobody knows how many
OVER: Final = "total"  # what several groups add up to
MERGED: Final = "merged"  # groups that became others

FOUND: Final = {"kind": pl.String, "before": pl.Int64, "after": pl.Int64, "fewest": pl.Int64, "most": pl.Int64}
Finding = tuple[str, int | None, int | None, int, int]


@dataclass(frozen=True)
class Asked:
    """A group has at least `k` records, and `distinct` values of each sensitive column where its classes have as many.

    `values` are the names of those columns; `labels` of all by which a record is known to be the same.
    """

    k: int
    values: tuple[str, ...]
    distinct: tuple[int, ...]
    labels: tuple[str, ...]
