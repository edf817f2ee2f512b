"""Gives rows the form of the next topic: sealed segments for references, anonymized batches for the outbox.

Batches of a table that a run's waiver names are as they were, so they are sealed like everything before them.
"""

from __future__ import annotations

import polars as pl

from processors.anonymize.identity import identities
from processors.merge.resolve import IDENT
from processors.plan import OutputPlan, TablePlan
from processors.segments.format import build
from processors.worker.directory import RunInfo
from schemas import batch, outbox
from schemas.columns import CHANGED, HASH, IDENTITY, OP, POSITION, SOURCE

DERIVED = 65_535  # the source index of a row that was computed


def prepared(upserts: pl.DataFrame, gone: pl.DataFrame, table: OutputPlan, info: RunInfo, first: bool) -> bytes:
    """An outbox batch. Nothing of a row leaves here but what the anonymization methods gave back."""
    rows = upserts.with_columns(identities(upserts.get_column(IDENT), table.name, info.key).alias(IDENTITY))
    out = table.methods.apply(rows, info.key, info.mode == "continuous")
    out = out.select(IDENTITY, SOURCE, CHANGED, *table.output)
    if first:
        return _encoded(out, table, info)
    deletes = pl.DataFrame({IDENTITY: identities(gone.get_column(IDENT), table.name, info.key)})
    marked = [
        out.with_columns(pl.lit(0, dtype=pl.Int8).alias(OP)),
        deletes.with_columns(pl.lit(1, dtype=pl.Int8).alias(OP)),
    ]
    whole = pl.concat(marked, how="diagonal").select(IDENTITY, SOURCE, CHANGED, OP, *table.output)
    return _encoded(whole, table, info)


def _encoded(frame: pl.DataFrame, table: OutputPlan, info: RunInfo) -> bytes:
    if table.name in info.waived:
        return outbox.seal(frame, info.key, table.name)
    return batch.encode(frame)


def related(upserts: pl.DataFrame, gone: pl.DataFrame, table: TablePlan, info: RunInfo, close: int) -> bytes:
    """A segment by identity; `_pos` tells which of several states of a row is the last."""
    rows = upserts.select(
        pl.col(IDENT).alias(HASH),
        SOURCE,
        CHANGED,
        *table.carried,
        pl.lit(0, dtype=pl.Int8).alias(OP),
        pl.lit(close, dtype=pl.Int64).alias(POSITION),
    )
    if gone.height:
        deletes = gone.select(
            pl.col(IDENT).alias(HASH),
            pl.lit(1, dtype=pl.Int8).alias(OP),
            pl.lit(close, dtype=pl.Int64).alias(POSITION),
        )
        rows = pl.concat([rows, deletes], how="diagonal")
    return build(rows.sort(HASH), info.key, 4096)
