"""Gives rows the form of the next topic: sealed segments for references, anonymized batches for the outbox.

Batches of a table that a run's waiver names are as they were, so they are sealed like everything before them.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from processors.anonymize.identity import identities
from processors.merge.resolve import IDENT
from processors.plan import OutputPlan, TablePlan
from processors.segments.format import build
from processors.worker.directory import RunInfo
from schemas import batch, outbox
from schemas.columns import CHANGED, HASH, IDENTITY, OP, POSITION, SOURCE

Piece = tuple[int, bytes]  # how many rows and deletions, and what is sent
DERIVED = 65_535  # the source index of a row that was computed


def prepared(
    upserts: pl.DataFrame, gone: pl.DataFrame, table: OutputPlan, info: RunInfo, first: bool
) -> Iterator[Piece]:
    """Outbox batches. Nothing of a row leaves here but what the anonymization methods gave back."""
    for piece in batch.pieces(_prepared(upserts, gone, table, info, first)):
        yield piece.height, _encoded(piece, table, info)


def prepared_at_once(upserts: pl.DataFrame, gone: pl.DataFrame, table: OutputPlan, info: RunInfo) -> Piece:
    """The same as one batch, of changes that nobody may see a part of."""
    whole = _prepared(upserts, gone, table, info, first=False)
    return whole.height, _encoded(whole, table, info)


def named(table: str, pieces: Iterator[Piece]) -> Iterator[tuple[str, int, bytes]]:
    return ((table, *piece) for piece in pieces)


def _prepared(upserts: pl.DataFrame, gone: pl.DataFrame, table: OutputPlan, info: RunInfo, first: bool) -> pl.DataFrame:
    rows = upserts.with_columns(identities(upserts.get_column(IDENT), table.name, info.key).alias(IDENTITY))
    out = table.methods.apply(rows, info.key, info.mode == "continuous", on_its_way=True)
    out = out.select(IDENTITY, SOURCE, CHANGED, *table.output)
    if first:
        return out
    deletes = pl.DataFrame({IDENTITY: identities(gone.get_column(IDENT), table.name, info.key)})
    marked = [
        out.with_columns(pl.lit(0, dtype=pl.Int8).alias(OP)),
        deletes.with_columns(pl.lit(1, dtype=pl.Int8).alias(OP)),
    ]
    return pl.concat(marked, how="diagonal").select(IDENTITY, SOURCE, CHANGED, OP, *table.output)


def _encoded(frame: pl.DataFrame, table: OutputPlan, info: RunInfo) -> bytes:
    if table.name in info.waived:
        return outbox.seal(frame, info.key, table.name)
    return batch.encode(frame)


def related(upserts: pl.DataFrame, gone: pl.DataFrame, table: TablePlan, info: RunInfo, close: int) -> Iterator[Piece]:
    """Segments by identity; `_pos` tells which of several states of a row is the last."""
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
    for piece in batch.pieces(rows.sort(HASH)):
        yield piece.height, build(piece, info.key, 4096)
