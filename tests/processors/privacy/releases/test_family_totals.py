"""Two tables of the same records in two versions, against somebody who subtracts totals and knows whose they are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
from hypothesis import given, settings

from processors.privacy.releases.differences import OVER
from processors.privacy.releases.family_totals import crossed, subtracted
from processors.privacy.releases.totals import Totals
from tests.processors.privacy.releases.test_totals import FIGURES, PLAIN, K, People, groups_of, shown, table, versions

CITY = Totals({"city": "sale.city"}, FIGURES, ("n",))


def coarse(people: People) -> pl.DataFrame:
    rows = [
        (*group, len(own), sum(one[2] for one in own.values()))
        for group, own in groups_of(people, (0,)).items()
        if len(own) >= K
    ]
    return pl.DataFrame(rows, {"city": pl.String, "n": pl.Int64, "pay": pl.Int64}, orient="row")


Shares = dict[str | None, Counter[int]]  # of each city, and of all, what each person adds to the total, and once 1000


def shares(people: People, frame: pl.DataFrame) -> Shares:
    """Of the groups that the table shows."""
    names = [name for name in ("city", "day") if name in frame.columns]
    there = set(frame.select(names).rows())
    found: Shares = {None: Counter()} if there else {}
    for who, one in people.items():
        if one[: len(names)] in there:
            for key in (one[0], None):
                found.setdefault(key, Counter())[who] += 1000 + one[2]
    return found


def told(parts: list[tuple[Shares, int]]) -> list[set[int]]:
    """Of each total that all have, who makes it differ from nothing, if it does."""
    found = []
    for key in set.intersection(*(set(own) for own, _ in parts)):
        net: Counter[int] = Counter()
        for own, sign in parts:
            for who, share in own[key].items():
                net[who] += sign * share
        if sum(net.values()):
            found.append({who for who, share in net.items() if share})
    return found


@settings(max_examples=300, deadline=None)
@given(versions())
def test_what_passes_tells_of_no_fewer_than_k(both: tuple[People, People]) -> None:
    before, after = both
    fine, city = [shown(side) for side in both], [coarse(side) for side in both]
    new, old = (city[1], CITY), (fine[0], PLAIN)
    of = [(shares(before, fine[0]), shares(before, city[0])), (shares(after, fine[1]), shares(after, city[1]))]
    if not subtracted(new, old, (fine[1], PLAIN), K):
        assert all(len(who) >= K for who in told([(of[1][1], 1), (of[0][0], -1)]))
    if not crossed((new, (city[0], CITY)), ((fine[1], PLAIN), old), K):
        parts = [(of[1][1], 1), (of[0][1], -1), (of[1][0], -1), (of[0][0], 1)]
        assert all(len(who) >= K for who in told(parts))


def side(totals: Totals, *rows: tuple[Any, ...]) -> tuple[pl.DataFrame, Totals]:
    return table(list(rows), *totals.by, *totals.figures), totals


def test_one_who_came_is_told_by_the_other_table() -> None:
    before, now = side(CITY, ("a", 11, 500)), side(CITY, ("a", 12, 590))
    whole = Totals({}, FIGURES, ("n",))
    assert subtracted(side(whole, (12, 590)), before, now, 5) == {OVER: 1}
    assert subtracted(side(whole, (16, 590)), before, side(CITY, ("a", 16, 590)), 5) == {}
    assert subtracted(side(whole, (11, 500)), before, before, 5) == {}
    other = Totals({}, {"people": "count(sale.id)"}, ("people",))
    assert subtracted(side(other, (12,)), before, now, 5) == {}  # nothing to subtract


def test_one_who_came_to_what_is_withheld_is_told_by_both_differences() -> None:
    """Of the city six more, of the days that are shown five."""
    city = side(CITY, ("a", 36, 700)), side(CITY, ("a", 30, 600))
    days = side(PLAIN, ("a", 1, 25, 580)), side(PLAIN, ("a", 1, 20, 500))
    assert crossed(city, days, 5) == {OVER: 2}
    all_shown = side(PLAIN, ("a", 1, 26, 600)), side(PLAIN, ("a", 1, 20, 500))
    assert crossed(city, all_shown, 5) == {}
    assert crossed((side(CITY, ("a", 40, 900)), city[1]), days, 5) == {}


def test_people_are_counted_by_the_other_table_itself() -> None:
    """Sums of two tables differ by whatever each counts; what one of them gained is known by its own count."""
    people = {"pay": "sum(sale.pay)", "who": "count(distinctsale.who)"}
    city, day = Totals({"city": "sale.city"}, people, ("who",)), Totals({"day": "sale.day"}, people, ("who",))
    new = side(day, (1, 900, 30))
    assert subtracted(new, side(city, ("a", 500, 11)), side(city, ("a", 590, 12)), 5) == {OVER: 1}
    assert subtracted(new, side(city, ("a", 500, 11)), side(city, ("a", 900, 16)), 5) == {}
    assert subtracted(new, side(city, ("a", 500, 11)), side(city, ("a", 500, 11)), 5) == {}
