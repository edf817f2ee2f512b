"""What of tables of totals is compared across releases, as their task says it."""

from __future__ import annotations

from typing import Any

import pytest

from processors.aggregate.released import Told, published, told_of
from schemas.task.model import Task
from tests.processors.aggregate.test_small_groups import filtered, task, totals

CITY = totals(["sale.city"], columns={"n": "count(*)", "boss": "count(sale.who)", "sum": "sum(sale.n)"})
MONTHS = [{"day": {"unit": "month"}}, {"day": {"unit": "year"}}]


def told(name: str, **tables: Any) -> Told:
    whole: Task = task(tables)
    found = told_of(name, whole)
    assert found is not None
    return found


def test_counts_of_records_count_where_each_is_a_subject_and_of_subjects_where_one_is_named() -> None:
    assert told("city", city=CITY).totals.counts == ("n", "boss")
    who = {"k": 7, "subject": "sale.who"}
    columns = {"n": "count(*)", "who": "Count( Distinct sale.who )", "cities": "count(distinct sale.city)"}
    named = told("t", t=totals(["sale.day"], who, columns=columns))
    assert (named.totals.counts, named.k, named.family) == (("who",), 7, "sale")


def test_totals_of_totals_are_called_what_they_add_up() -> None:
    columns = {"all": "sum(city.n)", "sum": "sum(city.sum)", "groups": "count(*)", "most": "max(city.n)"}
    found = told("above", city=CITY, above=totals([], source="city", columns=columns))
    assert found.totals.figures == {
        "all": "count(*)", "sum": "sum(sale.n)", "groups": "count(*) of city", "most": "max(city.n) of city"
    }  # fmt: skip
    assert found.totals.counts == ("all",)


def test_rows_of_groups_are_those_groups() -> None:
    line = {"from": {"city": {}}, "transform": [{"derive": {"mean": "city.sum / city.n"}}]}
    found = told("line", city=CITY, line=line)
    assert (found.totals.by, found.totals.counts) == ({"city": "sale.city"}, ("n", "boss"))
    assert found.totals.figures == {
        "n": "count(*)", "boss": "count(sale.who)", "sum": "sum(sale.n)", "mean": "line.mean"
    }  # fmt: skip


def test_what_publishes_small_groups_or_has_none_is_not_compared() -> None:
    whole = task(
        {"open": totals(["sale.city"], "publish"), "over": {"from": {"open": {}}}, "line": {"from": {"sale": {}}}}
    )
    assert [told_of(name, whole) for name in ("open", "over", "line", "sale")] == [None] * 4


@pytest.mark.parametrize(
    ("levels", "within"),
    [(MONTHS, ("date", None)), ([{"day": {"unit": "week"}}], None), ([{"day": {"unit": "day"}}], ("date", None))],
)
def test_names_of_months_tell_what_is_in_them_and_of_weeks_do_not(levels: Any, within: Any) -> None:
    found = told("t", t=totals(["sale.day"], {"then": "merge", "levels": levels}))
    assert found.totals.merged == {"day": within}


def test_what_methods_treat_names_no_group_and_counts_nothing() -> None:
    found = told("city", city=CITY)
    columns: dict[str, Any] = {"city": "string", "n": "int64", "sum": "int64"}
    plain = published(found, columns, ())
    assert (plain.totals.by, plain.totals.counts, plain.totals.named) == ({"city": "sale.city"}, ("n",), True)
    assert published(found, columns, {"n"}).totals.counts == ()
    hidden = published(found, columns, {"city"}).totals
    assert (hidden.by, hidden.named, [*hidden.figures]) == ({}, False, ["n", "sum"])


def test_tables_are_related_where_one_has_all_that_the_other_has() -> None:
    line = {"from": {"sale": {}}, "transform": [{"filter": "sale.n > 0"}]}
    tables: dict[str, Any] = {
        "all": totals([]), "some": filtered(["sale.city"], "sale.n > 0"), "others": filtered([], "sale.n < 0"),
        "line": line, "through": totals(["line.city"], source="line"), "known": totals([], join={"person": "who"}),
        "people": totals([], source="person"),
    }  # fmt: skip
    found = {name: told(name, **tables) for name in tables if name != "line"}
    assert {(one, other) for one in found for other in found if one < other and found[one].related(found[other])} == {
        ("all", "some"), ("all", "others"), ("all", "through"), ("all", "known"), ("some", "through"),
    }  # fmt: skip
