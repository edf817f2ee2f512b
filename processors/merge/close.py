"""Closes an epoch of one table on one partition: what the rows that are new change in what was prepared before.

A first close and a later one are the same work: rows that are new meet the rows of the same keys that were there, both
states are resolved, and the difference goes on. Memory follows the range of hashes walked, not the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from processors.merge.corrections import CONTENT, SAID, content_of, said_of
from processors.merge.resolve import CONFLICT, IDENT, Generate, Merged, differences, resolve
from processors.plan import TablePlan
from processors.segments.format import Segment, lookup, wanted
from processors.segments.walk import ranges, walk
from schemas.columns import CHANGED, HASH, SOURCE

RANGE_ROWS = 1 << 17
_OWN = "_own"


@dataclass(frozen=True)
class Change:
    """What one range of keys changes."""

    upserts: pl.DataFrame  # `_ident`, `_src`, `_chg` and the columns after transforms
    gone: pl.DataFrame  # `_ident` of rows that are no longer
    counts: dict[str, Any]  # differences, to be added to what was counted
    rejected: pl.DataFrame  # rows that a transform could not process, as they went into the merge
    fresh: bool = False  # none of these keys was there before, so every row is one more


@dataclass(frozen=True)
class _State:
    rows: pl.DataFrame
    counts: dict[str, Any]
    rejected: pl.DataFrame


def close(
    new: Sequence[Segment], old: Sequence[Segment], plan: TablePlan, seed: int, generate: Generate, partitions: int = 1
) -> Iterator[Change]:
    """`partitions`: the rows' hashes fill one of so many equal ranges."""
    for _, frame in walk(new, ranges(new, RANGE_ROWS) * partitions):
        before = _before(old, frame)
        whole = frame if before is None else pl.concat([before, frame], how="diagonal").sort(HASH)
        after = _state(whole, plan, seed, generate)
        if before is None:
            gone = pl.DataFrame(schema={IDENT: pl.UInt64})
            yield Change(after.rows, gone, after.counts, after.rejected, fresh=True)
            continue
        was = _state(before, plan, seed, generate)
        upserts, gone = differences(was.rows, after.rows, plan.carried)
        rejected = after.rejected
        if rejected.height and was.rejected.height:
            told = [CONTENT, SAID]  # a correction that falls again is told again, also where it corrects nothing
            rejected = rejected.join(was.rejected.select(told), on=told, how="anti")
        yield Change(upserts, gone, _minus(after.counts, was.counts), rejected)


def _before(old: Sequence[Segment], frame: pl.DataFrame) -> pl.DataFrame | None:
    return lookup(old, wanted([frame])) if old else None


def _state(frame: pl.DataFrame, plan: TablePlan, seed: int, generate: Generate) -> _State:
    merged: Merged = resolve(frame, plan.merge, seed, generate)
    counts: dict[str, Any] = {
        "merged": merged.merged,
        "rejected": merged.replaced,
        "dropped": {},
        "prepared": merged.kept.height,
    }
    if merged.conflicts:
        counts["dropped"][CONFLICT] = merged.conflicts
    kept = merged.kept.select(IDENT, SOURCE, CHANGED, *_whole(plan))
    if plan.transform is None:
        return _State(kept, counts, kept.clear())
    outcome = plan.transform.apply(kept)
    counts["dropped"] |= outcome.dropped
    counts["rejected"] += outcome.rejected.height
    counts["prepared"] = outcome.kept.height
    rejected = outcome.rejected
    if rejected.height:
        rejected = _as_it_came(rejected, merged, plan)
        rejected = _told_apart(rejected, frame, plan, seed, generate)
    return _State(outcome.kept, counts, rejected)


def _whole(plan: TablePlan) -> Iterator[pl.Expr]:
    """All declared columns; those that were let go are empty."""
    for name in plan.columns:
        kept = name in plan.stored
        yield pl.col(name) if kept else pl.lit(None, dtype=plan.declared[name].kind.polars).alias(name)


def _as_it_came(rejected: pl.DataFrame, merged: Merged, plan: TablePlan) -> pl.DataFrame:
    """Under its own key, and with where it stands: what a correction needs to take its place."""
    where = [HASH, *plan.change_columns]
    rejected = rejected.join(merged.kept.select(IDENT, *where), on=IDENT, how="left", maintain_order="left")
    if merged.renamed is None:
        return rejected
    key = plan.merge.regenerate
    own = merged.renamed.rename({key: _OWN})
    found = rejected.join(own, on=IDENT, how="left", maintain_order="left")
    return found.with_columns(pl.coalesce(_OWN, key).alias(key)).drop(_OWN)


def _told_apart(
    rejected: pl.DataFrame, frame: pl.DataFrame, plan: TablePlan, seed: int, generate: Generate
) -> pl.DataFrame:
    """A record without a key is told by its identity, any other by what it holds."""
    if not plan.merge.key:
        return rejected.with_columns(pl.col(IDENT).alias(CONTENT), pl.lit(0, dtype=pl.Int64).alias(SAID))
    return said_of(rejected.with_columns(content_of(rejected, plan.columns, seed, generate)), frame)


def _minus(after: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    rules = after["dropped"].keys() | before["dropped"].keys()
    return {
        "merged": after["merged"] - before["merged"],
        "rejected": after["rejected"] - before["rejected"],
        "prepared": after["prepared"] - before["prepared"],
        "dropped": {rule: after["dropped"].get(rule, 0) - before["dropped"].get(rule, 0) for rule in sorted(rules)},
    }
