"""Small groups: withheld cells against an attacker who tries all tables, merged ones against a plain recursion."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.disclosure import COMPLEMENT, MERGED, SMALL, Totals, Withheld, merge_upward, withhold
from processors.wrong_config import MisfitError

K = 3
Group = tuple[int, ...]
DIMS = ("a", "b", "c")


def totals(by: tuple[str, ...], weights: Mapping[Group, int]) -> Totals:
    columns = {column: [group[i] for group in weights] for i, column in enumerate(by)}
    columns["n"] = list(weights.values())
    return Totals(by, pl.DataFrame(columns, schema=dict.fromkeys((*by, "n"), pl.Int64)))


def margin(cells: Mapping[Group, Any], kept: Group) -> dict[Group, list[Group]]:
    """The cells below each group of a margin."""
    members: dict[Group, list[Group]] = {}
    for cell in cells:
        members.setdefault(tuple(cell[i] for i in kept), []).append(cell)
    return members


class Attack:
    """What can be told of withheld cells from all that is published: every table of whole records is tried."""

    def __init__(self, records: Mapping[Group, int], tables: list[dict[Group, list[Group]]], told: Withheld) -> None:
        self.hidden = [cell for cell, why in zip(records, told.reasons[0], strict=True) if why is not None]
        self.sums: list[tuple[set[Group], int]] = []
        for members, reasons in zip(tables, told.reasons, strict=True):
            for cells, why in zip(members.values(), reasons, strict=True):
                unknown = set(cells) & set(self.hidden)
                if why is None and unknown:
                    self.sums.append((unknown, sum(records[cell] for cell in unknown)))

    def can_hold(self, cells: list[Group], least: int) -> bool:
        """Whether some table that agrees with all that is published has so many records in these cells."""
        left = [rest for _, rest in self.sums]
        order = sorted(self.hidden, key=lambda cell: cell not in cells)

        def fill(at: int, wanted: int) -> bool:
            if at == len(order) or order[at] not in cells:
                if wanted > 0:
                    return False
                if at == len(order):
                    return not any(left)
            cell = order[at]
            own = [i for i, (unknown, _) in enumerate(self.sums) if cell in unknown]
            most = min((left[i] for i in own), default=least)
            closing = {left[i] for i in own if not self.sums[i][0] & set(order[at + 1 :])}
            for count in closing if closing else range(most, -1, -1):
                if count > most:
                    continue
                for i in own:
                    left[i] -= count
                found = fill(at + 1, wanted - count)
                for i in own:
                    left[i] += count
                if found:
                    return True
            return False

        return fill(0, least)

    def told_sums(self) -> list[list[Group]]:
        """Every set of withheld cells whose sum follows from what is published."""
        if not self.hidden:
            return []
        rows = np.array([[cell in unknown for cell in self.hidden] for unknown, _ in self.sums], dtype=float)
        rows = rows.reshape(-1, len(self.hidden))
        _, values, vectors = np.linalg.svd(rows, full_matrices=True)
        free = vectors[int((values > 1e-9).sum()) :]
        sets = np.array(list(product((0, 1), repeat=len(self.hidden)))[1:], dtype=float)
        fixed = sets[(np.abs(sets @ free.T) < 1e-9).all(axis=1)] if len(free) else sets
        return [[cell for cell, taken in zip(self.hidden, row, strict=True) if taken] for row in fixed]


@st.composite
def tables(draw: st.DrawFn, value: st.SearchStrategy[Any]) -> tuple[dict[Group, Any], list[Group]]:
    """Cells in two or three columns, some of them absent; and the columns of margins."""
    shape = draw(st.sampled_from([(4,), (2, 3), (3, 3), (2, 2, 2)]))
    cells = list(product(*(range(n) for n in shape)))
    kept = draw(st.lists(st.sampled_from(cells), min_size=1, unique=True))
    subsets = [part for n in range(len(shape)) for part in combinations(range(len(shape)), n)]
    return {cell: draw(value) for cell in kept}, draw(st.lists(st.sampled_from(subsets), unique=True, max_size=3))


@settings(max_examples=50)
@given(tables(st.integers(1, 5)))
def test_no_small_cell_is_told_where_each_subject_is_in_one_cell(given_: tuple[dict[Group, int], list[Group]]) -> None:
    cells, subsets = given_
    members = [{cell: [cell] for cell in cells}, *(margin(cells, kept) for kept in subsets)]
    width = len(next(iter(cells)))
    weights = [{group: sum(cells[c] for c in below) for group, below in one.items()} for one in members]
    published = [
        totals(tuple(DIMS[i] for i in kept), weight)
        for kept, weight in zip([tuple(range(width)), *subsets], weights, strict=True)
    ]
    told = withhold(published[0], published[1:], "n", K, disjoint=True)
    check(told, cells, members, weights)
    if all(w >= K for weight in weights for w in weight.values()):
        assert told.counts() == {SMALL: 0, COMPLEMENT: 0}


@settings(max_examples=50)
@given(tables(st.sets(st.integers(0, 6), min_size=1)))
def test_no_small_cell_is_told_where_subjects_are_in_several(given_: tuple[dict[Group, set[int]], list[Group]]) -> None:
    cells, subsets = given_
    members = [{cell: [cell] for cell in cells}, *(margin(cells, kept) for kept in subsets)]
    width = len(next(iter(cells)))
    weights = [{group: len(set.union(*(cells[c] for c in below))) for group, below in one.items()} for one in members]
    published = [
        totals(tuple(DIMS[i] for i in kept), weight)
        for kept, weight in zip([tuple(range(width)), *subsets], weights, strict=True)
    ]
    told = withhold(published[0], published[1:], "n", K)
    attack = check(told, {cell: len(who) for cell, who in cells.items()}, members, weights)
    for found in attack.told_sums():
        assert len(set.union(*(cells[cell] for cell in found))) >= K


def check(
    told: Withheld,
    records: Mapping[Group, int],
    members: list[dict[Group, list[Group]]],
    weights: list[dict[Group, int]],
) -> Attack:
    attack = Attack(records, members, told)
    for one, weight, reasons in zip(members, weights, told.reasons, strict=True):
        for (group, below), why in zip(one.items(), reasons, strict=True):
            assert (why == SMALL) == (weight[group] < K)
            if why == SMALL:
                assert attack.can_hold(below, K)
    for found in attack.told_sums():
        assert sum(records[cell] for cell in found) >= K
    return attack


@settings(max_examples=20)
@given(tables(st.integers(1, 5)), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(given_: tuple[dict[Group, int], list[Group]], random: Any) -> None:
    cells, _ = given_
    width = len(next(iter(cells)))
    total = totals((), {(): sum(cells.values())})
    told = withhold(totals(DIMS[:width], cells), [total], "n", K).reasons
    mixed = list(cells)
    random.shuffle(mixed)
    again = withhold(totals(DIMS[:width], {cell: cells[cell] for cell in mixed}), [total], "n", K).reasons
    assert dict(zip(cells, told[0], strict=True)) == dict(zip(mixed, again[0], strict=True))
    assert told[1].to_list() == again[1].to_list()


def test_a_cell_that_totals_would_give_away_takes_others_with_it() -> None:
    """Rows and columns with totals: one small cell needs a rectangle; without totals it goes alone."""
    cells = {(0, 0): 2, (0, 1): 20, (0, 2): 9, (1, 0): 30, (1, 1): 7, (1, 2): 8, (2, 0): 6, (2, 1): 40, (2, 2): 50}
    table = totals(("a", "b"), cells)
    sums = [
        totals(
            tuple(DIMS[i] for i in kept), {g: sum(cells[c] for c in below) for g, below in margin(cells, kept).items()}
        )
        for kept in ((0,), (1,), ())
    ]
    alone = withhold(table, [], "n")
    assert alone.reasons[0].to_list() == [SMALL] + [None] * 8
    both = withhold(table, sums, "n", disjoint=True)
    # of the four rectangles the one of fewest subjects
    hidden = {(0, 0): SMALL, (0, 2): COMPLEMENT, (1, 0): COMPLEMENT, (1, 2): COMPLEMENT}
    assert dict(zip(cells, both.reasons[0], strict=True)) == {cell: hidden.get(cell) for cell in cells}
    assert all(reasons.is_null().all() for reasons in both.reasons[1:])


def test_where_nothing_else_is_left_the_total_goes() -> None:
    one = withhold(totals(("a",), {(0,): 2}), [totals((), {(): 2})], "n")
    assert [reasons.to_list() for reasons in one.reasons] == [[SMALL], [SMALL]]
    two = withhold(totals(("a",), {(0,): 2, (1,): 3}), [totals((), {(): 5})], "n")
    assert [reasons.to_list() for reasons in two.reasons] == [[SMALL, SMALL], [COMPLEMENT]]
    none = withhold(totals(("a",), {}), [totals((), {(): 0})], "n")
    assert [reasons.to_list() for reasons in none.reasons] == [[], [SMALL]]
    assert withhold(totals((), {(): 5}), [], "n").counts() == {SMALL: 0, COMPLEMENT: 0}


def test_texts_dates_and_nulls_group_as_well() -> None:
    frame = pl.DataFrame({"city": ["Oslo", None, "Rome", "Bonn"], "n": [9, 1, 7, 8]})
    total = Totals((), pl.DataFrame({"n": [25]}))
    told = withhold(Totals(("city",), frame), [total], "n")
    assert told.reasons[0].to_list() == [None, SMALL, COMPLEMENT, None]
    assert told.counts() == {SMALL: 1, COMPLEMENT: 1}


def test_tables_that_do_not_fit_are_refused() -> None:
    table = totals(("a",), {(0,): 6, (1,): 7})
    with pytest.raises(MisfitError, match="group twice"):
        withhold(Totals(("a",), pl.concat([table.frame, table.frame])), [], "n")
    with pytest.raises(MisfitError, match="group by a"):
        withhold(table, [totals(("b",), {(0,): 13})], "n")
    with pytest.raises(MisfitError, match="no margin"):
        withhold(table, [Totals(("a",), table.frame.head(1))], "n")
    with pytest.raises(MisfitError, match="several cells"):
        withhold(table, [totals((), {(): 12})], "n", disjoint=True)


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
        merge_upward(days, ["day"], "who", [{"day": pl.col("day") // 7}, {"day": pl.col("day") // 30}])
    with pytest.raises(MisfitError, match="name a column"):
        merge_upward(days, [], "who", [])
