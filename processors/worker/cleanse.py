"""From a source's batch to sorted, sealed parts, one for each partition of the run; what falls is counted and kept.

A function of its input: the same batch gives the same rows, counts and dead letters, so that sending again what a
batch caused changes nothing behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import polars as pl

from processors.plan import TablePlan
from processors.segments.format import build_parts
from processors.worker.corrections import memo_of, words
from processors.worker.directory import RunInfo
from processors.worker.letters import ROW, fallen, unreadable
from processors.worker.withdrawn import withdrawn_by_rule, withdrawn_unread
from schemas import extracted
from schemas.columns import CHANGED, HASH, OP, POSITION, SOURCE, WEIGHT
from schemas.headers import Header
from schemas.placement import boundaries, hash_of, seed

BLOCK_ROWS = 1024  # of a segment that is read once, from its beginning to its end: a close holds a block of each
POINT_BLOCK_ROWS = 256  # of one that later epochs read single rows of
CHANGE_TYPES = {POSITION: pl.Int64(), OP: pl.Int8()}
_NUL = "\x00"


@dataclass
class Cleansed:
    parts: dict[int, tuple[bytes, int]] = field(default_factory=dict)  # logical partition -> (segment, rows)
    counts: dict[str, Any] = field(default_factory=dict)
    letters: list[dict[str, Any]] = field(default_factory=list)


def cleanse(payload: bytes, header: Header, info: RunInfo) -> Cleansed:
    table = info.plan.tables[header.table]
    memo = memo_of(header, info)
    if memo is not None:
        table = replace(table, rules=table.rules.settled(memo.ruled, memo.changed))
    rows, bad, nul = extracted.unseal(payload, info.key)
    letters = unreadable(bad, header, info, memo)
    read, dropped = len(letters), {}
    placed: list[pl.DataFrame] = []
    if rows is not None:
        read += rows.height
        rows = rows.with_row_index(ROW)
        sound, rejects = _screen(rows, table) if nul else (rows, [])
        outcome = table.rules.apply(sound)
        dropped = outcome.dropped
        kept, keyless = _without_key(outcome.kept, table)
        for rejected in (outcome.rejected, *rejects, keyless):
            letters += fallen(rejected, header, info, memo)
        placed += [_weighing(kept, 1), *(_weighing(one, 0) for one in withdrawn_by_rule(rows, kept, table))]
    if bad is not None and header.extra["source"] in table.merge.changes:
        placed.append(_weighing(withdrawn_unread(bad, table, header.extra["source"]), 0))
    parts: dict[int, tuple[bytes, int]] = {}
    if memo is not None:
        placed.append(_none(table))
    if placed:
        frame = _place(pl.concat(placed, how="diagonal"), table, header, info)
        said = words(frame, table, header, info, memo)
        parts = _parts(pl.concat([frame, said]).sort(HASH) if said.height else frame, info)
    return Cleansed(parts, {"read": read, "rejected": len(letters), "dropped": dropped}, letters)


def _weighing(rows: pl.DataFrame, weight: int) -> pl.DataFrame:
    """What fell was counted where it fell, so as a deletion it weighs nothing."""
    return rows.with_columns(pl.lit(weight, dtype=pl.Int64).alias(WEIGHT))


def _none(table: TablePlan) -> pl.DataFrame:
    """What is left of a correction that could not be read: it still withdraws the record that it corrects."""
    columns = {name: table.declared[name].kind.polars for name in table.columns}
    return pl.DataFrame(schema={**columns, ROW: pl.UInt32(), CHANGED: pl.UInt64(), WEIGHT: pl.Int64()})


def _mark(frame: pl.DataFrame, column: str, rule: str, reason: str) -> pl.DataFrame:
    return frame.with_columns(
        pl.lit(column).alias("_column"), pl.lit(rule).alias("_rule"), pl.lit(reason).alias("_reason")
    )


def _screen(rows: pl.DataFrame, table: TablePlan) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """No store of text holds the character U+0000; a record with it is told, not silently changed."""
    rejects: list[pl.DataFrame] = []
    for name in table.text_columns:
        holds = rows.get_column(name).str.contains(_NUL, literal=True).fill_null(False)
        if holds.any():
            rejects.append(_mark(rows.filter(holds), name, "text", "holds the character U+0000, which no text may"))
            rows = rows.filter(~holds)
    return rows, rejects


def _without_key(kept: pl.DataFrame, table: TablePlan) -> tuple[pl.DataFrame, pl.DataFrame]:
    empty = kept.clear()
    if not table.merge.key:
        return kept, empty
    found: list[pl.DataFrame] = []
    for name in table.merge.key:
        null = kept.get_column(name).is_null()
        if null.any():
            found.append(_mark(kept.filter(null), name, "primary_key", "the key is empty"))
            kept = kept.filter(~null)
    return kept, pl.concat(found) if found else empty


def _place(kept: pl.DataFrame, table: TablePlan, header: Header, info: RunInfo) -> pl.DataFrame:
    """The rows as the merge takes them, sorted by hash."""
    if table.merge.key:
        place = hash_of(table.merge.key, info.key)
    else:  # a record without a key is told by where it was read
        where = pl.struct(
            pl.lit(header.producer).alias("producer"), pl.lit(header.sequence).alias("sequence"), pl.col(ROW)
        )
        place = where.hash(seed(info.key)).alias(HASH)
    change = [
        pl.col(name) if name in kept.columns else pl.lit(0, dtype=CHANGE_TYPES[name]).alias(name)
        for name in table.change_columns  # a source that only adds stands beside one that tells changes
    ]
    return kept.select(
        *table.stored,
        *change,
        CHANGED,
        pl.lit(header.extra["source"], dtype=pl.UInt16).alias(SOURCE),
        WEIGHT,
        place,
    ).sort(HASH)


def _parts(frame: pl.DataFrame, info: RunInfo) -> dict[int, tuple[bytes, int]]:
    if frame.height == 0:
        return {}
    block_rows = POINT_BLOCK_ROWS if info.mode == "continuous" else BLOCK_ROWS
    hashes = frame.get_column(HASH)
    starts = {int(hashes.search_sorted(first, "left")): q for q, first in enumerate(boundaries(info.partitions))}
    starts.pop(frame.height, None)  # of slices that begin alike the last one has rows, unless they begin at the end
    bounds = [*starts, frame.height]
    built = zip(starts.values(), build_parts(frame, bounds, info.key, block_rows), pairwise(bounds), strict=True)
    return {q: (segment, stop - start) for q, segment, (start, stop) in built}
