"""Groups merged upward, against a plain recursion from the top of each branch."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.small_groups.upward import MERGED, merge_upward
from processors.wrong_config import MisfitError

K = 3
Group = tuple[int, ...]


def upward(members: dict[Group, set[int]], parents: list[dict[int, int]], k: int) -> dict[Group, tuple[Any, ...]]:
    """Group: (what it is published as, level, subjects), by going down from the top of each branch."""
    found: dict[Group, tuple[Any, ...]] = {}

    def name(group: Group, level: int) -> Group:
        for step in parents[:level]:
            group = (step[group[0]], *group[1:])
        return group

    def go(groups: list[Group], level: int) -> None:
        who = set.union(*(members[group] for group in groups))
        below: dict[Group, list[Group]] = {}
        for group in groups if level else []:
            below.setdefault(name(group, level - 1), []).append(group)
        if below and all(len(set.union(*(members[g] for g in part))) >= k for part in below.values()):
            for part in below.values():
                go(part, level - 1)
            return
        for group in groups:
            found[group] = (name(group, level), level, len(who)) if len(who) >= k else (None, None, len(who))

    tops: dict[Group, list[Group]] = {}
    for group in members:
        tops.setdefault(name(group, len(parents)), []).append(group)
    for groups in tops.values():
        go(groups, len(parents))
    return found


@settings(max_examples=20)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 11), st.integers(0, 1)), st.sets(st.integers(0, 9), min_size=1), max_size=16
    ),
    st.integers(0, 3),
)
def test_merging_equals_a_recursion_from_the_top(members: dict[Group, set[int]], count: int) -> None:
    widths = [2, 6, 12][:count]
    rows = [(a, b, who) for (a, b), subjects in members.items() for who in subjects]
    pairs = pl.DataFrame(rows, schema={"a": pl.Int64, "b": pl.Int64, "who": pl.Int64}, orient="row")
    levels = [{"a": pl.col("a") // width * width} for width in widths]
    parents = [{v: v // width * width for v in range(12)} for width in widths]
    merged = merge_upward(pl.concat([pairs, pairs]), ["a", "b"], "who", levels, K)
    told = {(a, b): (None if level is None else (int(x), int(y)), level, n) for a, b, x, y, level, n in merged.rows()}
    assert told == upward(members, parents, K)
    published = {}
    for (a, b), (into, level, _) in told.items():
        published.setdefault((into, level), set()).update(members[a, b])
    assert all(len(who) >= K for (into, _), who in published.items() if into is not None)


def test_merging_names_groups_by_the_levels_and_refuses_levels_that_do_not_nest() -> None:
    city = pl.col("city").replace_strict({"Oslo": "Norway", "Bergen": "Norway", "Rome": "Italy"})
    pairs = pl.DataFrame({"city": ["Oslo", "Oslo", "Bergen", "Rome", "Rome"], "who": [1, 2, 3, 4, 5]})
    merged = merge_upward(pairs, ["city"], "who", [{"city": city}], 2)
    assert merged.columns == ["city", MERGED + "city", "_level", "_subjects"]
    assert merged.rows() == [("Bergen", "Norway", 1, 3), ("Oslo", "Norway", 1, 3), ("Rome", "Rome", 0, 2)]
    days = pl.DataFrame({"day": range(40), "who": range(40)})
    with pytest.raises(MisfitError, match="group of level 1 in two groups of level 2"):
        merge_upward(days, ["day"], "who", [{"day": pl.col("day") // 7}, {"day": pl.col("day") // 30}], 5)
    with pytest.raises(MisfitError, match="name a column"):
        merge_upward(days, [], "who", [], 5)
