"""Merges the records of one key, whatever sources and batches they came in.

The result depends on the set of records alone, never on their order. Records are counted by weight: what is read is
kept, merged away or dropped as a conflict, and nothing else. Rows come sorted by key hash, all rows of a key together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from processors.merge.corrections import content_of, heed, spoken
from schemas.columns import CHANGED, HASH, OP, POSITION, SOURCE, WEIGHT, ColumnType

IDENT = "_ident"  # UInt64: tells the kept record from all others of its table
CONFLICT = "primary_key.conflict"

_RANK = "_rank"
_AT = "_at"
_TOTAL = "_total"
_COUNTS = "_counts"

Generate = Callable[[pl.Series], pl.Series]  # UInt64 -> UInt64, one way, stable within a run


@dataclass(frozen=True)
class MergePlan:
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()  # empty: every record stands for itself
    strategy: Literal["prefer", "drop_all", "keep_all"] = "keep_all"
    ranks: tuple[int, ...] = ()  # source index -> rank; the lowest wins
    changes: frozenset[int] = frozenset()  # sources that tell changes
    regenerate: str = ""  # the key column that gets a new value
    regenerate_type: ColumnType = "int64"


@dataclass(frozen=True)
class Merged:
    kept: pl.DataFrame
    read: int
    merged: int
    conflicts: int
    replaced: int = 0  # records that have a correction
    renamed: pl.DataFrame | None = None  # identities of records under a new key, and the key that they came with


def resolve(frame: pl.DataFrame, plan: MergePlan, content_seed: int, generate: Generate) -> Merged:
    """`frame` holds every record of the keys in it, and every word on one, sorted by hash."""
    if plan.key and spoken(frame):

        def contents(rows: pl.DataFrame) -> pl.Series:
            return content_of(rows, plan.columns, content_seed, generate)

        stands, read, replaced = heed(frame, plan.changes, contents)
        found = _resolve(stands, plan, content_seed, generate)
        return replace(found, read=read, merged=found.merged + read - found.read - replaced, replaced=replaced)
    return _resolve(frame, plan, content_seed, generate)


def _resolve(frame: pl.DataFrame, plan: MergePlan, content_seed: int, generate: Generate) -> Merged:
    read = int(frame.get_column(WEIGHT).sum())
    if not plan.key:
        kept = _under_its_hash(frame)
        return Merged(kept, read, read - kept.height, 0)
    alone = _stand_alone(frame)
    taken = alone & (frame.get_column(OP) == 0) if plan.changes else alone
    at = (~alone).arg_true()
    if len(at) == 0:
        kept = _under_its_hash(frame.filter(taken))
        return Merged(kept, read, read - kept.height, 0)
    rest = frame[at].with_columns(at.alias(_AT))
    if plan.changes:
        rest = _last_changes(rest, plan)
    if plan.strategy == "keep_all":
        changed, renamed = _under_new_keys(_distinct(rest, plan), plan, content_seed, generate)
        singles = _under_its_hash(frame.filter(taken))
        whole = pl.concat([singles, changed.select(singles.columns)]).sort(HASH)
        return Merged(whole, read, read - whole.height, 0, renamed=renamed)
    if plan.strategy == "prefer":
        winners, conflicts = _preferred(rest, plan), 0
    else:
        winners, conflicts = _without_conflicts(_distinct(rest, plan), plan)
    # Picked where they stand: putting them beside the others and sorting all again would cost more than the merge.
    whole = _under_its_hash(frame.filter(taken.scatter(winners, True)))
    return Merged(whole, read, read - whole.height - conflicts, conflicts)


def _under_its_hash(rows: pl.DataFrame) -> pl.DataFrame:
    """A record that keeps its key is told by the hash of it."""
    return rows.with_columns(pl.col(HASH).alias(IDENT))


def _stand_alone(frame: pl.DataFrame) -> pl.Series:
    hashes = frame.get_column(HASH)
    following = hashes.eq_missing(hashes.shift(-1))
    preceding = hashes.eq_missing(hashes.shift(1))
    return ~(following | preceding)


def _last_changes(rest: pl.DataFrame, plan: MergePlan) -> pl.DataFrame:
    """Of each source that tells changes the last record of a key, with the weight of all; deletions are gone.

    A record that fell stands here as a deletion that weighs nothing; its correction comes with the same position.
    """
    telling = pl.col(SOURCE).is_in(sorted(plan.changes))
    group = [*plan.key, SOURCE]
    changes = rest.filter(telling)
    # Everything that can tell two rows apart: one that is let go may have been what told a deletion from a record.
    ties = [pl.col(POSITION), pl.col(_COUNTS), *map(pl.col, plan.columns), pl.col(CHANGED), pl.col(OP)]
    last = (
        changes.with_columns((pl.col(WEIGHT) > 0).alias(_COUNTS), pl.col(WEIGHT).sum().over(group))
        .sort([*map(pl.col, group), *ties])
        .unique(group, keep="last", maintain_order=True)
        .filter(pl.col(OP) == 0)
    )
    return pl.concat([rest.filter(~telling), last.select(rest.columns)])


def _preferred(rest: pl.DataFrame, plan: MergePlan) -> pl.Series:
    """Where the records stand that win."""
    ranked = rest.with_columns(
        pl.col(SOURCE).replace_strict(list(range(len(plan.ranks))), plan.ranks, return_dtype=pl.Int32).alias(_RANK)
    )
    best = ranked.filter(pl.col(_RANK) == pl.col(_RANK).min().over(plan.key))
    single = best.select(pl.len().over(plan.key) == 1).to_series()
    if single.all():
        return best.get_column(_AT)
    ties = best.filter(~single).sort([*plan.columns, SOURCE, CHANGED]).unique(plan.key, keep="first")
    return pl.concat([best.get_column(_AT).filter(single), ties.get_column(_AT)])


def _distinct(rest: pl.DataFrame, plan: MergePlan) -> pl.DataFrame:
    """Records that are alike in every declared column are one record, with the weight of all."""
    return (
        rest.with_columns(pl.col(WEIGHT).sum().over(plan.columns))
        .sort([*plan.key, SOURCE, CHANGED])
        .unique(plan.columns, keep="first", maintain_order=True)
    )


def _without_conflicts(distinct: pl.DataFrame, plan: MergePlan) -> tuple[pl.Series, int]:
    """Where the records stand that no other contradicts, and how many fell."""
    counted = distinct.with_columns(pl.len().over(plan.key).alias(_TOTAL))
    conflicts = int(counted.filter(pl.col(_TOTAL) > 1).get_column(WEIGHT).sum())
    return counted.filter(pl.col(_TOTAL) == 1).get_column(_AT), conflicts


def _under_new_keys(
    distinct: pl.DataFrame, plan: MergePlan, seed: int, generate: Generate
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    counted = distinct.with_columns(pl.len().over(plan.key).alias(_TOTAL))
    alone = _under_its_hash(counted.filter(pl.col(_TOTAL) == 1).drop(_TOTAL))
    several = counted.filter(pl.col(_TOTAL) > 1).drop(_TOTAL)
    if several.height == 0:
        return alone, None
    several = several.with_columns(content_of(several, plan.columns, seed, generate).alias(IDENT))
    renamed = several.select(IDENT, plan.regenerate)
    if plan.regenerate_type == "string":
        hexed = pl.Series([f"{value:016x}" for value in several.get_column(IDENT).to_list()])
        new = pl.concat_str([pl.col(plan.regenerate), pl.lit("~"), hexed])
    else:
        new = -(pl.col(IDENT) // 2).cast(pl.Int64) - 1  # never a key that a system counts up to
    return pl.concat([alone, several.with_columns(new.alias(plan.regenerate))]), renamed


def differences(old: pl.DataFrame, new: pl.DataFrame, columns: tuple[str, ...]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows of `new` that `old` has not like that, identities of `old` that `new` has no longer)."""
    same = [IDENT, *columns, SOURCE, CHANGED]
    upserts = new.join(old.select(same), on=same, how="anti", nulls_equal=True, maintain_order="left")
    gone = old.select(IDENT).join(new.select(IDENT), on=IDENT, how="anti", maintain_order="left")
    return upserts, gone
