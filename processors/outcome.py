"""What became of a batch: rows kept, rows dropped by the rule that did it, rows rejected with the reason.

Every row that goes into a transform comes out in exactly one of the three. Knows no rule and no transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

# What a rejected row carries beyond the columns of the input.
REJECT_COLUMN: Final = "_column"
REJECT_RULE: Final = "_rule"
REJECT_REASON: Final = "_reason"


@dataclass(frozen=True)
class Outcome:
    """`rejected` has the input's columns, then `_column`, `_rule` and `_reason`, which are strings."""

    kept: pl.DataFrame
    dropped: dict[str, int]
    rejected: pl.DataFrame

    @property
    def read(self) -> int:
        """How many rows went in."""
        return self.kept.height + sum(self.dropped.values()) + self.rejected.height


def rejected_none(frame: pl.DataFrame) -> pl.DataFrame:
    """An empty frame of rejects for an input of these columns."""
    return mark_rejected(frame.clear(), pl.lit(""), pl.lit(""), pl.lit(""))


def mark_rejected(frame: pl.DataFrame, column: pl.Expr, rule: pl.Expr, reason: pl.Expr) -> pl.DataFrame:
    """These rows as rejects, marked with where and why."""
    return frame.with_columns(
        column.cast(pl.String).alias(REJECT_COLUMN),
        rule.cast(pl.String).alias(REJECT_RULE),
        reason.cast(pl.String).alias(REJECT_REASON),
    )
