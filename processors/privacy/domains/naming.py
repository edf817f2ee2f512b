"""Codes of a column's values, and names of groups, found once for each group that differs from the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from processors.privacy.domains.points import Codes, Ints, Marks

ANY: Final = "*"
NULL: Final = "null"


def encoded(code: Callable[[pl.Expr], pl.Expr], values: pl.Series) -> Codes:
    """The codes of a column."""
    return values.alias("v").to_frame().select(code(pl.col("v"))).to_series().to_numpy()


def named(low: Ints, high: Ints, nulls: Marks, name: Callable[[int, int], str]) -> pl.Series:
    """The name of each interval of codes; code 0 is null, and an interval from 0 to 0 has no values but nulls."""
    if not len(low):
        return pl.Series([], dtype=pl.String)
    groups = np.stack([low.astype(np.int64), high.astype(np.int64), nulls.astype(np.int64)])
    each, own = np.unique(groups, axis=1, return_inverse=True)
    names = [
        None if not b else f"{NULL}|{name(a, b)}" if with_null else name(a, b) for a, b, with_null in each.T.tolist()
    ]
    return pl.Series(names, dtype=pl.String).gather(own.ravel())
