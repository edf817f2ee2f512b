"""Aggregated tables of one task: what is published of them, and what became of every record."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from functools import cache
from typing import Any

import orjson
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.aggregate.derive import Derived, DerivedTable, compile_derived, derive_tables
from processors.aggregate.families import handling_of
from schemas.columns import HASH
from schemas.task.model import SmallGroups, Task

KEY = bytes(range(32))
SOURCES = {"s": {"connector": "csv", "path": "x.csv"}}
COLUMNS = {"id": "int64", "city": "string", "day": "date", "who": "int64", "n": "int64"}
COLLECTED: dict[str, Any] = {
    "sale": {
        "columns": {name: {"type": kind} for name, kind in COLUMNS.items()},
        "primary_key": {"column": "id", "conflicts": "drop_all"},
        "sources": SOURCES,
    },
    "person": {
        "columns": {"id": {"type": "int64"}, "boss": {"type": "string"}},
        "primary_key": {"column": "id", "conflicts": "drop_all"},
        "sources": SOURCES,
    },
}
NATION = [["Oslo", "Norway", "*"], ["Bergen", "Norway", "*"], ["Rome", "Italy", "*"], ["Bonn", "Germany", "*"]]


def totals(by: list[str], small: Any = None, source: str = "sale", join: Any = None, **more: Any) -> dict[str, Any]:
    aggregate: dict[str, Any] = {"by": by, "columns": {"rows": "count(*)"}, **more}
    if small is not None:
        aggregate["small_groups"] = small
    return {"from": {source: {"join": join} if join else {}}, "transform": [{"aggregate": aggregate}]}


def filtered(by: list[str], condition: str) -> dict[str, Any]:
    table = totals(by)
    return {**table, "transform": [{"filter": condition}, *table["transform"]]}


def task(derived: dict[str, Any]) -> Task:
    return Task.model_validate({"task": "t", "tables": COLLECTED | derived})


@cache
def _compiled(text: bytes) -> dict[str, DerivedTable]:
    whole = task(orjson.loads(text))
    return {name: compile_derived(name, whole) for name, table in whole.tables.items() if table.derived}


def derive(derived: dict[str, Any], sales: list[dict[str, Any]]) -> dict[str, Derived]:
    schema = {"id": pl.Int64, "city": pl.String, "day": pl.Date, "who": pl.Int64, "n": pl.Int64}
    frame = pl.DataFrame([{"id": n, **sale} for n, sale in enumerate(sales)], schema=schema)
    people = pl.DataFrame(
        {HASH: range(10), "id": range(10), "boss": ["a", "b"] * 5}, schema_overrides={HASH: pl.UInt64}
    )
    rows = {"sale": frame.with_columns(pl.col("id").cast(pl.UInt64).alias(HASH)), "person": people}
    found = derive_tables(_compiled(orjson.dumps(derived)), rows, KEY)
    for one in found.values():
        gone = one.counts["merged"] + one.counts["rejected"] + sum(one.counts["dropped"].values())
        assert one.counts["read"] == one.counts["prepared"] + gone
        assert one.counts["prepared"] == one.rows.height
    return found


def rows(found: Derived) -> set[tuple[Any, ...]]:
    return set(found.rows.drop("_ident").iter_rows())


CITIES = st.sampled_from(["Oslo", "Bergen", "Rome", "Bonn", None])
DAYS = st.dates(date(2024, 1, 28), date(2024, 2, 3))
SALES = st.lists(
    st.fixed_dictionaries({"city": CITIES, "day": DAYS, "who": st.none() | st.integers(0, 9), "n": st.integers(0, 3)}),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(SALES)
def test_one_table_leaves_out_groups_of_fewer_than_five(sales: list[dict[str, Any]]) -> None:
    sizes, people = Counter(sale["city"] for sale in sales), defaultdict(set)
    for sale in sales:
        people[sale["city"]].add(sale["who"])
    found = derive({"plain": totals(["sale.city"])}, sales)["plain"]
    assert rows(found) == {(city, n) for city, n in sizes.items() if n >= 5}
    small = [n for n in sizes.values() if n < 5]
    assert found.counts["dropped"] == ({"aggregate.small_group": sum(small)} if small else {})
    assert found.withheld == {"small": len(small), "complement": 0}
    rule = {"k": 3, "subject": "sale.who"}
    named = derive({"named": totals(["sale.city"], rule)}, sales)["named"]
    assert rows(named) == {(city, n) for city, n in sizes.items() if len(people[city]) >= 3}


@settings(max_examples=40, deadline=None)
@given(SALES)
def test_what_margins_would_give_away_is_left_out_of_them_or_with_them(sales: list[dict[str, Any]]) -> None:
    """Cities by day, cities, and all: the small ones can't be had by subtracting."""
    tables = {"both": totals(["sale.city", "sale.day"]), "city": totals(["sale.city"]), "all": totals([])}
    found = derive(tables, sales)
    per_city: Counter[Any] = Counter()
    for row in found["both"].rows.iter_rows(named=True):
        assert row["rows"] >= 5
        per_city[row["city"]] += row["rows"]
    for row in found["city"].rows.iter_rows(named=True):
        assert row["rows"] - per_city[row["city"]] in (0, *range(5, 99))
    for row in found["all"].rows.iter_rows(named=True):
        assert row["rows"] - sum(found["city"].rows["rows"]) in (0, *range(5, 99))


def sales_of(*cities: tuple[str | None, int], **more: Any) -> list[dict[str, Any]]:
    return [{"city": city, "day": date(2024, 1, 1), "who": i, "n": 1, **more} for city, n in cities for i in range(n)]


def test_the_records_of_another_filter_or_join_are_of_the_same_family() -> None:
    sales = sales_of(("Oslo", 19), ("Rome", 30)) + sales_of(("Oslo", 1), n=0)
    tables = {"every": totals(["sale.city"]), "some": filtered(["sale.city"], "sale.n > 0")}
    found = derive(tables, sales)
    assert rows(found["every"]) == {("Oslo", 20), ("Rome", 30)}
    assert rows(found["some"]) == {("Rome", 30)}
    assert found["some"].counts["dropped"] == {"transform.filter": 1, "aggregate.small_group": 19}
    assert found["some"].withheld == {"small": 0, "complement": 1}
    lost = [*sales_of(("Oslo", 10), ("Rome", 30)), {"city": "Oslo", "day": None, "who": 99, "n": 1}]
    joined = {"every": totals(["sale.city"]), "known": totals(["sale.city"], join={"person": "who"})}
    found = derive(joined, [one | {"who": one["who"] if one["who"] == 99 else one["who"] % 10} for one in lost])
    assert sum(one.withheld["complement"] for one in found.values()) == 1


def test_a_family_goes_through_derived_tables() -> None:
    line = {"from": {"sale": {}}, "transform": [{"filter": "sale.n > 0"}]}
    tables = {"some": totals(["line.city"], source="line"), "line": line, "every": totals(["sale.city"])}
    found = derive(tables, sales_of(("Oslo", 19)) + sales_of(("Oslo", 1), n=0))
    assert [one.withheld for one in (found["some"], found["every"])].count({"small": 0, "complement": 1}) == 1
    assert list(found) == list(tables)


def test_what_cannot_be_computed_is_not_told_by_what_can() -> None:
    """Of twenty records one has a sum too large: with it or without it, the totals may not both be seen."""
    tables = {
        "every": totals(["sale.city"]),
        "some": totals(["sale.city"], columns={"rows": "count(*)", "most": "max(sale.n + 9223372036854775806)"}),
    }
    found = derive(tables, sales_of(("Oslo", 19)) + sales_of(("Oslo", 1), n=2))
    assert found["some"].rejected.height == 1
    assert sum(one.withheld["complement"] for one in found.values()) == 1


def test_groups_of_groups_see_only_what_may_be_published() -> None:
    above = totals([], source="city", columns={"rows": "sum(city.rows)", "cities": "count(*)"})
    tables = {"above": above, "city": totals(["sale.city"])}
    sales = sales_of(("Oslo", 9), ("Rome", 2))
    found = derive(tables, sales)
    assert rows(found["above"]) == {(9, 1)}
    assert found["above"].counts == {"read": 1, "prepared": 1, "merged": 0, "rejected": 0, "dropped": {}}
    assert rows(derive({**tables, "city": totals(["sale.city"], "publish")}, sales)["above"]) == set()
    asked = totals([], {"k": 2}, source="city")
    assert rows(derive({**tables, "above": asked}, sales)["above"]) == set()
    line = {"from": {"city": {}}, "transform": [{"filter": "city.rows > 0"}]}
    assert rows(derive({**tables, "line": line}, sales)["line"]) == {("Oslo", 9)}


def test_handling_says_what_a_certificate_says() -> None:
    derived = {
        "plain": totals(["sale.city"]),
        "open": totals(["sale.day"], "publish"),
        "above": totals([], source="plain"),
        "over_open": totals([], source="open"),
        "with_people": {"from": {"people": {"join": {"person": "who"}}}, **totals([])}
        | {"from": {"people": {"join": {"person": "who"}}}},
        "people": totals(["sale.who"]),
        "noisy": totals([], noise={"budget": "b", "epsilon": 1}),
        "over_noisy": totals([], source="noisy"),
        "line": {"from": {"sale": {}}},
    }
    whole = task(derived)
    found = {name: handling_of(name, whole) for name in derived}
    assert found["line"] is None
    assert found["noisy"] is None  # it has every group and protects by noise
    told = {name: (one.family, one.rule, one.of, one.beside) for name, one in found.items() if one is not None}
    assert told == {
        "plain": ("sale", SmallGroups(), None, ("open",)),
        "open": ("sale", None, None, ()),
        "above": ("plain", None, "plain", ()),
        "over_open": ("open", SmallGroups(), None, ()),
        "with_people": ("people", SmallGroups(), None, ()),
        "over_noisy": ("noisy", None, "noisy", ()),
        "people": ("sale", SmallGroups(), None, ("open",)),
    }


def test_small_groups_are_merged_along_levels_and_else_left_out() -> None:
    levels = [{"city": {"rows": NATION, "level": 1}}, {"city": {"rows": NATION, "level": 2}}]
    sales = sales_of(("Oslo", 7), ("Bergen", 2), ("Rome", 6), ("Bonn", 5), (None, 3))
    found = derive({"merged": totals(["sale.city"], {"then": "merge", "levels": levels})}, sales)["merged"]
    assert rows(found) == {("Norway", 9), ("Rome", 6), ("Bonn", 5)}
    assert found.counts["dropped"] == {"aggregate.small_group": 3}
    assert (found.counts["prepared"], found.counts["merged"], found.withheld["small"]) == (3, 17, 1)
    more = [{"city": {"rows": NATION, "level": 1}}]
    some = derive({"merged": totals(["sale.city"], {"then": "merge", "levels": more})}, sales[:9] + sales[-5:])[
        "merged"
    ]
    assert rows(some) == {("Norway", 9)}


def test_days_become_months_and_years_and_numbers_intervals() -> None:
    day = [{"city": "x", "day": date(2024, m, d), "who": n, "n": n * 7} for n, (m, d) in enumerate([(1, 1)] * 6)]
    day += [{"city": "x", "day": date(2024, 2, d), "who": d, "n": d} for d in range(1, 6)]
    day += [{"city": "x", "day": date(2023, 3, 3), "who": 1, "n": 44}]
    levels = [{"day": {"unit": "month"}}, {"day": {"unit": "year"}}]
    found = derive({"merged": totals(["sale.day"], {"then": "merge", "levels": levels})}, day)["merged"]
    assert rows(found) == {("2024-01-01", 6), ("2024-02", 5)}
    steps = [{"n": {"step": 10}}, {"n": {"step": 100}}]
    found = derive({"merged": totals(["sale.n"], {"then": "merge", "levels": steps})}, day)["merged"]
    assert rows(found) == {("[0, 100)", 12)}
    assert derive({"merged": totals(["sale.n"], {"k": 2, "then": "merge", "levels": steps[:1]})}, day)["merged"].rows[
        "n"
    ].sort().to_list() == ["[0, 10)", "[20, 30)"]


def test_merged_groups_are_not_undone_by_a_total_of_days() -> None:
    """What is merged in one table isn't told apart by another one of the same records."""
    levels = [{"city": {"rows": NATION, "level": 1}}]
    sales = sales_of(("Oslo", 7), ("Bergen", 2), ("Rome", 9))
    tables = {"merged": totals(["sale.city"], {"then": "merge", "levels": levels}), "plain": totals(["sale.city"])}
    found = derive(tables, sales)
    told = {city for city, _ in rows(found["merged"]) | rows(found["plain"])}
    assert not {"Norway", "Oslo"} <= told
    assert "Rome" in told
