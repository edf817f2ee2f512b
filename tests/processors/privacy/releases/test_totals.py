"""Two versions of a table of totals against somebody who subtracts them and knows who was in which."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.releases.differences import FEW, MERGED, OVER, UNCOUNTED, UNDECIDED
from processors.privacy.releases.totals import Totals, compared

K = 3
BY = {"city": "sale.city", "day": "sale.day"}
FIGURES = {"n": "count(*)", "pay": "sum(sale.pay)"}
PLAIN = Totals(BY, FIGURES, ("n",))
Person = tuple[str, int, int]  # city, day, pay
People = dict[int, Person]


def groups_of(people: People, columns: tuple[int, ...]) -> dict[tuple[Any, ...], People]:
    found: defaultdict[tuple[Any, ...], People] = defaultdict(dict)
    for who, one in people.items():
        found[tuple(one[at] for at in columns)][who] = one
    return found


def shown(people: People) -> pl.DataFrame:
    rows = [
        (*group, len(own), sum(one[2] for one in own.values()))
        for group, own in groups_of(people, (0, 1)).items()
        if len(own) >= K
    ]
    return pl.DataFrame(rows, schema={"city": pl.String, "day": pl.Int64, "n": pl.Int64, "pay": pl.Int64}, orient="row")


def told_of(before: People, after: People) -> list[set[int]]:
    """Of each group that both versions show, and of each sum of such groups over a column, whose records differ."""
    large = [{group for group, own in groups_of(side, (0, 1)).items() if len(own) >= K} for side in (before, after)]
    sides = [
        {who: one for who, one in side.items() if one[:2] in large[0] & large[1]} for side in (before, after)
    ]  # those of groups that both show
    found = []
    for columns in (c for size in range(3) for c in combinations((0, 1), size)):
        one, other = (groups_of(side, columns) for side in sides)
        for group in one.keys() & other.keys():
            there = {who: person[2] for who, person in one[group].items()}
            here = {who: person[2] for who, person in other[group].items()}
            if (len(there), sum(there.values())) != (len(here), sum(here.values())):
                found.append({who for who in there | here if there.get(who) != here.get(who)})
    return found


CELLS = [(city, day) for city in "ab" for day in range(2)]
PERSON: st.SearchStrategy[Person] = st.tuples(st.sampled_from("ab"), st.integers(0, 1), st.integers(1, 9))


@st.composite
def versions(draw: st.DrawFn) -> tuple[People, People]:
    """Of some groups many come, go or move to another one, and few besides."""
    people: People = {}
    for cell in CELLS:
        for _ in range(draw(st.sampled_from([2, K, 7, 9]))):
            people[len(people)] = (*cell, draw(st.integers(1, 3)))
    later = dict(people)
    some = st.sampled_from([0, 0, 1, K - 1, K, K + 1])
    for cell, target in draw(st.lists(st.tuples(st.sampled_from(CELLS), st.sampled_from([*CELLS, None])), max_size=2)):
        here = [who for who, one in later.items() if one[:2] == cell]
        for who in here[: draw(some)]:
            if target is None:
                del later[who]
            else:
                later[who] = (*target, later[who][2])
    for cell in draw(st.lists(st.sampled_from(CELLS), max_size=2)):
        for _ in range(draw(some)):
            later[len(people) + len(later)] = (*cell, draw(st.integers(1, 3)))
    return people, later


@settings(max_examples=300, deadline=None)
@given(versions())
def test_what_passes_tells_of_no_fewer_than_k(both: tuple[People, People]) -> None:
    before, after = both
    if not compared(shown(before), shown(after), PLAIN, PLAIN, K):
        assert all(len(who) >= K for who in told_of(before, after)), told_of(before, after)


@settings(max_examples=100, deadline=None)
@given(st.lists(PERSON, max_size=20), st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), PERSON))
def test_where_nobody_or_enough_came_to_each_group_it_passes(first: list[Person], come: dict[Any, Person]) -> None:
    before = dict(enumerate(first))
    after = before | {100 * n + i: (*group, i) for n, group in enumerate(come, 1) for i in range(K)}
    assert compared(shown(before), shown(after), PLAIN, PLAIN, K) == {}
    assert compared(shown(after), shown(before), PLAIN, PLAIN, K) == {}


def table(rows: list[tuple[Any, ...]], *names: str) -> pl.DataFrame:
    return pl.DataFrame([[None if one is None else str(one) for one in row] for row in rows], list(names), orient="row")


def of(*rows: tuple[Any, ...], totals: Totals = PLAIN) -> tuple[pl.DataFrame, Totals]:
    return table(list(rows), *totals.by, *totals.figures), totals


def found(one: tuple[pl.DataFrame, Totals], other: tuple[pl.DataFrame, Totals]) -> dict[str, int]:
    return compared(one[0], other[0], one[1], other[1], 5)


def test_one_who_came_is_told_by_the_sum() -> None:
    assert found(of(("a", 1, 11, 500)), of(("a", 1, 12, 590))) == {FEW: 1}
    assert found(of(("a", 1, 11, 500)), of(("a", 1, 11, 590))) == {FEW: 1}  # one changed, or five went and came
    assert found(of(("a", 1, 11, 500)), of(("a", 1, 16, 590))) == {}
    assert found(of(("a", 1, 11, 500)), of(("a", 1, 11, 500))) == {}
    assert found(of((None, 1, 11, None)), of((None, 1, 11, 0))) == {FEW: 1}


def test_a_group_that_one_version_shows_alone_is_subtracted_from_nothing() -> None:
    assert found(of(("a", 1, 11, 5)), of(("a", 1, 11, 5), ("a", 2, 5, 5))) == {}
    assert found(of(("a", 1, 11, 5)), of(("b", 1, 12, 5))) == {}
    assert found(of(), of(("b", 1, 12, 5))) == {}


def test_groups_are_added_up() -> None:
    """Six came to one group and five left another: of the city they are one who came."""
    one, other = of(("a", 1, 9, 90), ("a", 2, 20, 90)), of(("a", 1, 15, 190), ("a", 2, 15, 10))
    assert found(one, other) == {OVER: 2}  # of the city and of all
    moved = of(("a", 1, 15, 150), ("a", 2, 14, 30))  # six of them moved
    assert found(one, moved) == {}
    assert found(one, of(("a", 1, 15, 150), ("a", 2, 14, 31))) == {OVER: 2}
    away = of(("a", 1, 15, 190), ("a", 2, 9, 10))
    assert found(one, away) == {}


def test_averages_and_extremes_count_as_figures() -> None:
    mean = Totals({"city": "sale.city"}, {"n": "count(*)", "mean": "avg(sale.pay)"}, ("n",))
    assert found(of(("a", 11, 50), totals=mean), of(("a", 11, 51), totals=mean)) == {FEW: 1}
    both = of(("a", 11, 50), ("b", 20, 50), totals=mean), of(("a", 16, 51), ("b", 15, 49), totals=mean)
    assert found(*both) == {OVER: 1}  # the sums follow, and nobody has looked whether they are the same
    most = Totals({"city": "sale.city"}, {"n": "count(*)", "most": "max(sale.pay)"}, ("n",))
    assert found(of(("a", 11, 50), totals=most), of(("a", 11, 51), totals=most)) == {FEW: 1}


def test_without_a_count_nobody_knows_of_how_many() -> None:
    bare = Totals({"city": "sale.city"}, {"pay": "sum(sale.pay)"})
    assert found(of(("a", 50), totals=bare), of(("a", 90), totals=bare)) == {UNCOUNTED: 1}
    assert found(of(("a", 50), totals=bare), of(("a", 50), totals=bare)) == {}


def test_other_columns_are_compared_by_what_they_say() -> None:
    renamed = Totals(BY, {"people": "count(*)", "most": "max(sale.pay)"}, ("people",))
    assert found(of(("a", 1, 11, 500)), of(("a", 1, 11, 99), totals=renamed)) == {}
    assert found(of(("a", 1, 11, 500)), of(("a", 1, 12, 99), totals=renamed)) == {FEW: 1}
    other = Totals(BY, {"pay": "sum(sale.pay * 2)"})
    assert found(of(("a", 1, 11, 500)), of(("a", 1, 1000), totals=other)) == {UNCOUNTED: 1}
    assert found(of(("a", 1, 11, 500)), of(("a", 1, 7), totals=Totals(BY, {"x": "min(sale.pay)"}))) == {}


def test_coarser_groups_are_compared_with_what_finer_ones_add_up_to() -> None:
    city = Totals({"city": "sale.city"}, FIGURES, ("n",))
    fine = of(("a", 1, 11, 500), ("a", 2, 7, 70))
    assert found(fine, of(("a", 18, 570), totals=city)) == {}
    assert found(fine, of(("a", 20, 590), totals=city)) == {OVER: 2}  # two that one day has and isn't shown
    assert found(fine, of(("a", 30, 900), totals=city)) == {}


@pytest.mark.parametrize("how", [("string", [["oslo", "north"], ["bergen", "north"], ["rome", "south"]]), None])
def test_groups_that_were_merged_are_their_parts(how: Any) -> None:
    merged = Totals({"city": "sale.city"}, FIGURES, ("n",), {"city": how})
    parts, whole = of(("oslo", 7, 70), ("bergen", 6, 60), totals=merged), of(("north", 12, 120), totals=merged)
    assert found(parts, whole) == {MERGED: 1}
    assert found(of(("oslo", 7, 70), totals=merged), of(("north", 8, 80), totals=merged)) == {MERGED: 1}
    assert found(of(("oslo", 7, 70), totals=merged), of(("north", 12, 80), totals=merged)) == {}
    same, more = of(("north", 13, 130), totals=merged), of(("north", 18, 130), totals=merged)
    assert found(parts, same) == found(parts, more) == ({} if how else {MERGED: 1})
    assert found(of(("rome", 7, 70), totals=merged), of(("north", 8, 80), totals=merged)) == (
        {} if how else {MERGED: 1}
    )
    assert found(parts, of(("oslo", 7, 70), ("bergen", 6, 60), ("rome", 5, 5), totals=merged)) == {}


def test_months_hold_days() -> None:
    merged = Totals({"day": "sale.day"}, FIGURES, ("n",), {"day": ("date", None)})
    days = of(("2024-02-01", 7, 7), ("2024-02-03", 7, 7), ("2024-03-03", 7, 7), totals=merged)
    assert found(days, of(("2024-02", 15, 15), ("2024-03-03", 7, 7), totals=merged)) == {MERGED: 1}
    assert found(days, of(("2024-02", 19, 19), ("2024-03-03", 7, 7), totals=merged)) == {}
    assert found(days, of(("2024-02", 14, 14), ("2025", 9, 9), totals=merged)) == {}


def test_groups_without_names_pass_only_if_nothing_changed() -> None:
    tokens = Totals({}, FIGURES, ("n",), named=False)
    rows = [(7, 70), (8, 80)]
    assert found(of(*rows, totals=tokens), of(*rows[::-1], totals=tokens)) == {}
    assert found(of(*rows, totals=tokens), of(rows[0], (18, 80), totals=tokens)) == {UNDECIDED: 1}


def test_totals_are_exact_whatever_their_size() -> None:
    """Of sums that no float could tell apart; what is no number adds up to nothing that could be equal."""
    large, small = "100000000000000000000000000000000000.01", "1e-300"
    one = of(("a", 1, 20, large), ("a", 2, 20, "0.02"))
    assert found(one, of(("a", 1, 15, "0.01"), ("a", 2, 25, "100000000000000000000000000000000000.02"))) == {}
    assert found(one, of(("a", 1, 15, "0.01"), ("a", 2, 25, "100000000000000000000000000000000000.03"))) == {OVER: 2}
    assert found(of(("a", 1, 20, "1e300"), ("a", 2, 20, "0")), of(("a", 1, 15, "1e300"), ("a", 2, 25, small))) == {
        OVER: 2
    }
    for odd in ("NaN", "Infinity"):
        assert found(of(("a", 1, 20, odd), ("a", 2, 20, "0")), of(("a", 1, 15, "0"), ("a", 2, 25, odd))) == {OVER: 2}
        assert found(of(("a", 1, 20, odd)), of(("a", 1, 20, odd))) == {}


def test_a_figure_that_is_published_twice_is_one() -> None:
    twice = Totals({"city": "sale.city"}, {"n": "count(*)", "m": "count(*)"}, ("n", "m"))
    assert found(of(("a", 11, 11), ("b", 20, 20), totals=twice), of(("a", 17, 17), ("b", 14, 14), totals=twice)) == {}
    assert found(of(("a", 11, 11), ("b", 20, 20), totals=twice), of(("a", 17, 17), ("b", 15, 15), totals=twice)) == {
        OVER: 1
    }
