"""The present rows of related tables, which of them survive, and what that changes. Works on segments by identity.

Only identities and the columns that references, joins and aggregates need are held in memory; whole rows are read
again, in ranges, when they are emitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from processors.merge.resolve import IDENT
from processors.references.survivors import Reference, survivors_and_reasons
from processors.segments.format import Segment, lookup, wanted
from processors.segments.walk import ranges, walk
from schemas.columns import HASH, OP, POSITION

RANGE_ROWS = 1 << 16


def _latest(frame: pl.DataFrame) -> pl.DataFrame:
    """Of each identity the last state, unless that is a deletion; `frame` is in the order of the identities."""
    hashes = frame.get_column(HASH)
    if not (hashes == hashes.shift(1)).any() and not (frame.get_column(OP) != 0).any():
        return frame
    last = frame.sort([HASH, POSITION]).unique(HASH, keep="last", maintain_order=True)
    return last.filter(pl.col(OP) == 0)


def present(segments: Sequence[Segment], columns: Sequence[str]) -> pl.DataFrame | None:
    """Identity, `_pos` and the named columns of every row that is there; None where there never was one."""
    rows = sum(segment.rows for segment in segments)
    if not rows:
        return None
    parts = [_latest(f).select(HASH, POSITION, *columns) for _, f in walk(segments, ranges(segments, RANGE_ROWS * 4))]
    return pl.concat(parts)


def latest(segments: Sequence[Segment], rows_per_range: int = RANGE_ROWS * 4) -> Iterator[pl.DataFrame]:
    """Every row that is there, in ranges of identities: the same rows in the same order, however wide the ranges."""
    for _, frame in walk(segments, ranges(segments, rows_per_range)):
        yield _latest(frame)


@dataclass(frozen=True)
class Survivors:
    """What is there after references have been checked."""

    rows: dict[str, pl.DataFrame]  # table -> identity, `_pos` and needed columns of the rows that survive
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)  # table -> rule -> count


def survive(
    tables: Mapping[str, Sequence[Segment]], references: Sequence[Reference], needed: Mapping[str, Sequence[str]]
) -> Survivors:
    found = {name: present(segments, needed[name]) for name, segments in tables.items()}
    there = {name: frame for name, frame in found.items() if frame is not None}
    links = [link for link in references if link.table in there]
    for link in links:
        if link.target not in there:  # nothing to refer to: an empty table of the same type
            child = there[link.table].get_column(link.column)
            there[link.target] = pl.DataFrame({link.target_column: child.clear()})
    alive, dropped = survivors_and_reasons(there, links)
    rows = {name: frame.filter(alive[name]) for name, frame in there.items() if found.get(name) is not None}
    return Survivors(rows, dropped)


@dataclass(frozen=True)
class Difference:
    appeared: pl.DataFrame  # identities whose row is new or another than before
    gone: pl.DataFrame  # identities that are no longer, as `_ident`


def difference(before: pl.DataFrame | None, after: pl.DataFrame | None, whole: bool = False) -> Difference:
    """`whole`: what stands beside identity and `_pos` tells rows apart too, and comes back."""
    none = pl.DataFrame(schema={IDENT: pl.UInt64})
    ids = after.columns if whole and after is not None else [HASH, POSITION]
    if after is None:
        gone = none if before is None else before.select(pl.col(HASH).alias(IDENT))
        return Difference(pl.DataFrame(schema={HASH: pl.UInt64, POSITION: pl.Int64}), gone)
    if before is None:
        return Difference(after.select(ids), none)
    appeared = after.select(ids).join(before.select(ids), on=ids, how="anti", nulls_equal=True)
    gone = before.select(HASH).join(after.select(HASH), on=HASH, how="anti")
    return Difference(appeared, gone.rename({HASH: IDENT}))


def rows_of(segments: Sequence[Segment], identities: pl.DataFrame, everything: bool) -> Iterator[pl.DataFrame]:
    """The whole rows of these identities, in ranges; `everything`: most of what is there is wanted, so walk it."""
    keys = identities.select(HASH, POSITION)
    if everything:
        for _, frame in walk(segments, ranges(segments, RANGE_ROWS)):
            there = frame.join(keys, on=[HASH, POSITION], how="semi")
            if there.height:
                yield there
        return
    for part in keys.sort(HASH).iter_slices(RANGE_ROWS):
        found = lookup(segments, wanted([part]))
        if found is not None:
            yield found.join(part, on=[HASH, POSITION], how="semi")
