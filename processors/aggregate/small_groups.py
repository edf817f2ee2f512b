"""Aggregated tables of the same records: their groups, without those from which a small one could be told.

Always holds: a row of a group that is withheld counts as dropped, and nothing of it is among the rows that come out;
what is withheld depends on all tables of the family and on nothing else. Knows no stage and no certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from processors.privacy.small_groups.atoms import RECORD, Grouped
from processors.privacy.small_groups.disclosure import REASON, counts, withhold
from processors.privacy.small_groups.upward import LEVEL, MERGED, merge_upward
from processors.transform.aggregates import AggregatePlan
from processors.transform.small_groups import SmallGroupsPlan

RULE: Final = "aggregate.small_group"
SUBJECT: Final = "~subject"
_OWN: Final = "~own~"  # and a group's name: what it was before it was merged


@dataclass(frozen=True)
class Told:
    """Of one table the records whose groups may be published, their groups merged already.

    `any`: whether there are such groups; a total of nothing has no records. `withheld`: how many groups are not, by
    reason.
    """

    frame: pl.DataFrame
    any: bool
    withheld: dict[str, int]


def tell(tables: Mapping[str, tuple[pl.DataFrame, AggregatePlan]], identity: str) -> dict[str, Told]:
    """`tables`: of one family, each with its records and its plan, which says how small groups are handled."""
    grouped = {name: _grouped(frame, plan, identity) for name, (frame, plan) in tables.items()}
    groups = dict(zip(tables, withhold(list(grouped.values())), strict=True))
    return {name: _told(frame, plan, grouped[name], groups[name]) for name, (frame, plan) in tables.items()}


def _rule(plan: AggregatePlan) -> SmallGroupsPlan:
    if plan.small is None:
        raise ValueError("a table whose small groups are published has no rule for them")
    return plan.small


def _grouped(frame: pl.DataFrame, plan: AggregatePlan, identity: str) -> Grouped:
    """The records by their groups; where small ones are merged, by what they are merged into."""
    rule, names = _rule(plan), tuple(group.name for group in plan.by)
    whose = pl.col(identity) if rule.subject is None else pl.col(rule.subject)
    records = frame.select(
        pl.col(identity).alias(RECORD), whose.alias(SUBJECT), *(pl.col(one.column).alias(one.name) for one in plan.by)
    )
    subject = None if rule.subject is None else SUBJECT
    if not rule.levels:
        return Grouped(records, names, rule.k, subject)
    merged = merge_upward(records, names, SUBJECT, rule.expressions(), rule.k)
    records = records.join(merged, on=names, how="left", nulls_equal=True, maintain_order="left")
    own = [pl.col(name).alias(_OWN + name) for name in rule.merged]
    into = [
        pl.when(pl.col(LEVEL).is_null()).then(pl.col(name).cast(pl.String)).otherwise(pl.col(MERGED + name)).alias(name)
        for name in rule.merged
    ]
    finer = tuple(_OWN + name for name in rule.merged)
    placed = records.with_columns(own).with_columns(into).select(RECORD, SUBJECT, *names, *finer)
    return Grouped(placed, names, rule.k, subject, finer)


def _told(frame: pl.DataFrame, plan: AggregatePlan, grouped: Grouped, groups: pl.DataFrame) -> Told:
    """`grouped` has its records in the order of the frame."""
    names, published = list(grouped.by), groups.filter(pl.col(REASON).is_null())
    if names:
        marked = published.select(*names, pl.lit(True).alias(REASON))
        found = grouped.records.join(marked, on=names, how="left", nulls_equal=True, maintain_order="left")
        kept = found[REASON].fill_null(False)
    else:
        kept = pl.repeat(published.height > 0, frame.height, dtype=pl.Boolean, eager=True)
    merged = [grouped.records[one.name].alias(one.column) for one in plan.by if one.name in _rule(plan).merged]
    return Told(frame.with_columns(merged).filter(kept), published.height > 0, counts(groups))
