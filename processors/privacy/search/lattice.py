"""Full-domain generalization: of all combinations of levels the one that keeps what is asked at the least loss.

Every value of a column goes to the same level. Always holds: the answer is the best of all combinations (walk.py), or
why there is none and what could be met (unreachable.py). Knows no method by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import polars as pl

from processors.privacy.domains.levels import Levels
from processors.privacy.guarantees import everyone
from processors.privacy.search.costs import COSTS
from processors.privacy.search.demands import Demands, people
from processors.privacy.search.rollup import Ints, Leaves, base, leaves_of
from processors.privacy.search.unreachable import Unreachable, unreachable
from processors.privacy.search.walk import Optimum, Walk
from processors.wrong_config import MisfitError

MOST_NODES: Final = 4_000_000


def search(
    frame: pl.DataFrame,
    levels: Mapping[str, Levels],
    asked: Demands,
    limit: float = 0.0,
    metric: str = "ncp",
    population: pl.DataFrame | None = None,
) -> Optimum | Unreachable:
    """The best node by the metric, of those where at most `limit` of the rows are in classes that fail."""
    _check(frame, levels, asked, limit, metric, population)
    own = {name: one.with_null() if _has_null(name, frame, population) else one for name, one in levels.items()}
    leaves = _leaves(frame, own, asked, population)
    if leaves.known is not None:
        finest, subject = base(leaves), asked.subject
        missing = int(np.maximum(people(finest, asked) - leaves.known, 0).sum())
        people_of = None if subject is None else finest.pairs(subject).values
        everyone.check(missing, people_of, 0 if subject is None else frame[subject].null_count())
    walk = Walk(leaves, list(own.values()), asked, math.floor(limit * leaves.total + 1e-9), metric)
    found = walk.run(list(own))
    return unreachable(walk.top(), asked, limit, walk.fewest) if found is None else found


def released(frame: pl.DataFrame, levels: Mapping[str, Levels], found: Optimum) -> pl.DataFrame:
    """The rows that are kept, each quasi-identifier as the name of its group."""
    rows = frame.filter(pl.Series(found.kept))
    names = {}
    for name, one in levels.items():
        own = one.with_null() if rows[name].null_count() else one
        names[name] = own.named(own.encode(rows[name]), found.levels[name]).alias(name)
    return rows.with_columns(**names)


def _check(
    frame: pl.DataFrame,
    levels: Mapping[str, Levels],
    asked: Demands,
    limit: float,
    metric: str,
    population: pl.DataFrame | None,
) -> None:
    if not levels:
        raise MisfitError("has no quasi-identifier", "give levels of one column or more", ("quasi_identifiers",))
    subject = () if asked.subject is None else (asked.subject,)
    for name in (*levels, *asked.sensitive, *subject):
        if name not in frame.columns:
            raise MisfitError(f"has no column {name}", f"name one of {', '.join(frame.columns)}", (name,))
    for name in levels:
        if population is not None and name not in population.columns:
            raise MisfitError(f"has no column {name}", "give all quasi-identifiers", ("population",))
    nodes = math.prod(one.height + 1 for one in levels.values())
    if nodes > MOST_NODES:
        tallest = max(levels, key=lambda name: levels[name].height)
        raise MisfitError(
            f"has {nodes:,} combinations of levels; {MOST_NODES:,} are looked through at most",
            f"give fewer levels, of {tallest} first",
            ("quasi_identifiers",),
        )
    if not 0 <= limit <= 1:
        raise MisfitError("is no share", "give a number from 0 to 1", ("suppression_limit",))
    if metric not in COSTS:
        raise MisfitError(f"has no metric {metric}", f"give one of {', '.join(COSTS)}", ("metric",))
    if (asked.presence is None) != (population is None):
        raise MisfitError("needs presence and population together", "give both, or neither", ("presence",))


def _leaves(
    frame: pl.DataFrame, levels: Mapping[str, Levels], asked: Demands, population: pl.DataFrame | None
) -> Leaves:
    wanted = dict.fromkeys((*asked.sensitive, *([asked.subject] if asked.subject is not None else [])))
    orders = {one.column: one.order for one in asked.closeness if one.order is not None}
    return leaves_of(
        [one.encode(frame[name]) for name, one in levels.items()],
        [one.sizes[0] for one in levels.values()],
        {name: _ordered(frame[name], orders.get(name)) for name in wanted},
        None if population is None else [one.encode(population[name]) for name, one in levels.items()],
    )


def _ordered(values: pl.Series, order: Iterable[str] | None) -> tuple[Ints, int]:
    """The place of each value among the distinct ones, nulls first, then ascending or as declared."""
    each = values.unique().sort(nulls_last=False)
    if order is not None:
        declared = pl.Series(values.name, list(order), dtype=pl.String).cast(values.dtype)
        lacking = each.drop_nulls().filter(~each.drop_nulls().is_in(declared.implode()))
        if len(lacking):
            raise MisfitError(f"lacks {lacking[0]!r}", f"give every value of {values.name}", ("order",))
        each = pl.concat([each.filter(each.is_null()), declared])
    places = each.alias("v").to_frame().with_row_index("code")
    own = values.alias("v").to_frame().join(places, on="v", how="left", nulls_equal=True, maintain_order="left")
    return own["code"].cast(pl.Int64).to_numpy(), len(each)


def _has_null(name: str, frame: pl.DataFrame, population: pl.DataFrame | None) -> bool:
    return any(one[name].null_count() > 0 for one in (frame, population) if one is not None)
