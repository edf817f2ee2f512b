"""Where a prepared record comes from: its source, and which rule changed which column. Never what a value was before.

In the review store that is an index and a mask of bits; here both get their names back.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from control_api.store.outbox import CHANGES, DERIVED, IDENTITY, OWN_COLUMNS, SOURCE, VERSION, TablePlan

RUN: Final = "_run"
COLUMNS: Final = (RUN, *OWN_COLUMNS)
CHANGE: Final = pl.Struct({"column": pl.String(), "rule": pl.String()})
_ALL_BITS: Final = 2**64 - 1


def source_name(plan: TablePlan, index: int) -> str | None:
    """None for a record that was derived from other tables."""
    return None if index == DERIVED else plan.sources[index]


def changes_of(plan: TablePlan, mask: int) -> list[dict[str, str]]:
    bits = mask & _ALL_BITS  # the highest bit makes a bigint negative
    return [{"column": column, "rule": rule} for n, (column, rule) in enumerate(plan.changes) if bits >> n & 1]


def decoded(frame: pl.DataFrame, run: str, plan: TablePlan) -> pl.DataFrame:
    """The columns `_run`, `_id`, `_version`, `_source` and `_changes` first, with names for indexes and bits."""
    masks = frame[CHANGES].unique()
    lists = pl.Series([changes_of(plan, mask) for mask in masks], dtype=pl.List(CHANGE))
    named = pl.DataFrame({CHANGES: masks, "_decoded": lists})
    sources = pl.Series(plan.sources, dtype=pl.String)
    declared = [name for name in frame.columns if name not in OWN_COLUMNS]
    index = pl.when(pl.col(SOURCE) == DERIVED).then(None).otherwise(pl.col(SOURCE))
    return frame.join(named, on=CHANGES, how="left", maintain_order="left").select(
        pl.lit(run).alias(RUN),
        pl.col(IDENTITY),
        pl.col(VERSION),
        (pl.lit(sources).gather(index) if plan.sources else pl.lit(None, dtype=pl.String)).alias(SOURCE),
        pl.col("_decoded").alias(CHANGES),
        *declared,
    )
