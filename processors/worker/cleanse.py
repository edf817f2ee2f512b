"""From a source's batch to sorted, sealed parts, one for each partition of the run; what falls is counted and kept.

A function of its input: the same batch gives the same rows, counts and dead letters, so that sending again what a
batch caused changes nothing behind it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from processors.plan import TablePlan
from processors.segments.format import build
from processors.worker.directory import RunInfo
from schemas import extracted, sealing
from schemas.columns import HASH, LINE, OP, POSITION, SOURCE, WEIGHT
from schemas.headers import Header
from schemas.placement import boundaries, hash_of, seed

ROW = "_row"
BLOCK_ROWS = 2048  # of a segment that is read once, from its beginning to its end
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
    rows, bad = extracted.unseal(payload, info.key)
    letters = _unreadable(bad, header, info)
    dropped: dict[str, int] = {}
    rejected = len(letters)
    read = rejected
    parts: dict[int, tuple[bytes, int]] = {}
    if rows is not None:
        read += rows.height
        rows = rows.with_row_index(ROW)
        sound, rejects = _screen(rows, table)
        outcome = table.rules.apply(sound)
        dropped = outcome.dropped
        letters += _fallen(outcome.rejected, header, info)
        for rejects_part in rejects:
            letters += _fallen(rejects_part, header, info)
        kept, keyless = _without_key(outcome.kept, table)
        letters += _fallen(keyless, header, info)
        rejected = len(letters)
        parts = _place(_weighed(kept, _withdrawn(rows, kept, table)), table, header, info)
    return Cleansed(parts, {"read": read, "rejected": rejected, "dropped": dropped}, letters)


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


def _withdrawn(rows: pl.DataFrame, kept: pl.DataFrame, table: TablePlan) -> pl.DataFrame | None:
    """Of a source that tells changes the records that fell, as deletions: what they replace must not stand on.

    Rules bring a deletion into form and never drop it. One whose key can't be told withdraws nothing.
    """
    if OP not in rows.columns or not table.merge.key:
        return None
    fell = rows.filter(pl.col(OP) == 0).join(kept.select(ROW), on=ROW, how="anti", maintain_order="left")
    if fell.height == 0:
        return None
    deletions = table.rules.apply(fell.with_columns(pl.lit(1, dtype=pl.Int8).alias(OP))).kept
    return deletions.drop_nulls(list(table.merge.key))


def _weighed(kept: pl.DataFrame, withdrawn: pl.DataFrame | None) -> pl.DataFrame:
    """What fell was counted where it fell, so as a deletion it weighs nothing."""
    one, nothing = (pl.lit(weight, dtype=pl.Int64).alias(WEIGHT) for weight in (1, 0))
    whole = kept.with_columns(one)
    return whole if withdrawn is None else pl.concat([whole, withdrawn.with_columns(nothing)])


def _place(kept: pl.DataFrame, table: TablePlan, header: Header, info: RunInfo) -> dict[int, tuple[bytes, int]]:
    if kept.height == 0:
        return {}
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
    frame = kept.select(
        *table.columns,
        *change,
        "_chg",
        pl.lit(header.extra["source"], dtype=pl.UInt16).alias(SOURCE),
        WEIGHT,
        place,
    ).sort(HASH)
    block_rows = POINT_BLOCK_ROWS if info.mode == "continuous" else BLOCK_ROWS
    if info.partitions == 1:
        return {0: (build(frame, info.key, block_rows), frame.height)}
    hashes = frame.get_column(HASH)
    starts = [int(hashes.search_sorted(first, "left")) for first in boundaries(info.partitions)]
    parts: dict[int, tuple[bytes, int]] = {}
    for q, (start, end) in enumerate(zip(starts, [*starts[1:], frame.height], strict=True)):
        part = frame.slice(start, end - start)
        if part.height:
            parts[q] = (build(part, info.key, block_rows), part.height)
    return parts


def _position(header: Header, line: Any, change: Any = None) -> str:
    """`change`: its place in the order of changes, which a correction takes."""
    where = {"source": header.extra["name"], "split": header.extra["split"], "line": line}
    return orjson.dumps(where if change is None else {**where, "change": change}).decode()


def _unreadable(bad: pl.DataFrame | None, header: Header, info: RunInfo) -> list[dict[str, Any]]:
    if bad is None:
        return []
    letters = []
    for i, row in enumerate(bad.iter_rows(named=True)):
        name = f"{header.run}/{header.table}/{header.producer}/{header.sequence}/r{i}"
        letters.append(
            {
                "id": name,
                "rule": "type",
                "column": row["_column"],
                "reason": row["_reason"],
                "position": _position(header, row[LINE], row[POSITION]),
                "sealed": sealing.seal(info.key, _kept(row), name),
            }
        )
    return letters


def _kept(row: dict[str, Any]) -> bytes:
    """The record with its columns, or its text where it could not be cut into them."""
    record: str | None = row["_record"]
    return orjson.dumps({"_raw": row["_raw"]}) if record is None else record.encode()


def _fallen(rejected: pl.DataFrame, header: Header, info: RunInfo) -> list[dict[str, Any]]:
    letters = []
    for row in rejected.iter_rows(named=True):
        name = f"{header.run}/{header.table}/{header.producer}/{header.sequence}/{row[ROW]}"
        record = {key: value for key, value in row.items() if not key.startswith("_")}
        letters.append(
            {
                "id": name,
                "rule": row["_rule"],
                "column": row["_column"],
                "reason": row["_reason"],
                "position": _position(header, row.get(LINE), row.get(POSITION)),
                "sealed": sealing.seal(info.key, orjson.dumps(record, default=_plain), name),
            }
        )
    return letters


def _plain(value: Any) -> str:
    """Decimals and bytes as the text that a source would give."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
