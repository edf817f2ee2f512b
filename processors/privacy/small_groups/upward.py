"""Groups of too few subjects merged upward, along declared levels.

A group is parted into its members only if each of them has k subjects. Always holds: what is published is a partition,
and the difference of a group and the published parts of it is never small. The outcome depends on the groups alone, not
on their order. Knows no level's form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import polars as pl

from processors.wrong_config import MisfitError

LEVEL = "_level"
SUBJECTS = "_subjects"
MERGED = "_merged_"  # and the column's name


def merge_upward(
    pairs: pl.DataFrame, by: Sequence[str], subject: str, levels: Sequence[Mapping[str, pl.Expr]], k: int
) -> pl.DataFrame:
    """What each group of `pairs` (a row for a group and a subject) is published as.

    `levels`, each coarser than the one before, say what the grouping columns are there, in terms of the columns as
    they come; a column not named stays. A row for each group: its columns, for each the text that it is merged into,
    how many levels up that is, and the subjects of what it is merged into. Where even the last level has fewer
    than k subjects the texts and the level are null: the group is suppressed.
    """
    if not by:
        raise MisfitError("groups by nothing", "name a column", ("by",))
    cells = pairs.select(*by, pl.col(subject).alias("~subject")).unique()
    keys = [list(by)]
    for level, how in enumerate(levels, 1):
        keys.append([f"~{level}~{column}" for column in by])
        cells = cells.with_columns(
            how.get(column, pl.col(column)).cast(pl.String).alias(key) for column, key in zip(by, keys[-1], strict=True)
        )
    _check_nested(cells, keys)
    for level, key in enumerate(keys):
        cells = cells.with_columns(pl.col("~subject").n_unique().over(key).alias(f"~n{level}"))
    last = len(levels)
    cells = cells.with_columns(pl.lit(last, dtype=pl.Int64).alias(LEVEL))
    for level in range(last, 0, -1):
        parted = (pl.col(f"~n{level - 1}").min() >= k).over(keys[level])  # Enforces: no part is small
        down = pl.when((pl.col(LEVEL) == level) & parted).then(level - 1).otherwise(pl.col(LEVEL))
        cells = cells.with_columns(down.alias(LEVEL))
    texts = [
        _at_level([pl.col(key[i]).cast(pl.String) for key in keys]).alias(MERGED + column)
        for i, column in enumerate(by)
    ]
    cells = cells.with_columns(*texts, _at_level([pl.col(f"~n{level}") for level in range(last + 1)]).alias(SUBJECTS))
    kept = pl.col(SUBJECTS) >= k
    told = [*(MERGED + column for column in by), LEVEL]
    cells = cells.with_columns(pl.when(kept).then(pl.col(name)).alias(name) for name in told)
    return cells.select(*by, *told, pl.col(SUBJECTS).cast(pl.Int64)).unique().sort(by, nulls_last=True)


def _at_level(each: list[pl.Expr]) -> pl.Expr:
    return pl.coalesce(pl.when(pl.col(LEVEL) == level).then(value) for level, value in enumerate(each))


def _check_nested(cells: pl.DataFrame, keys: list[list[str]]) -> None:
    for level, (fine, coarse) in enumerate(pairwise(keys)):
        groups = cells.select([*fine, *coarse]).unique()
        if groups.height != groups.select(fine).unique().height:
            raise MisfitError(
                f"has a group of level {level} in two groups of level {level + 1}",
                "give levels of which each is coarser than the one before",
                ("levels", level),
            )
