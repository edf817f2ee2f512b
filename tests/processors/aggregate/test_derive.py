"""Derived tables against plain Python: what comes out, and what became of every row that came in."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.aggregate.derive import Derived, DerivedTable, compile_derived, derive_family
from processors.merge.resolve import IDENT
from schemas.columns import HASH
from schemas.errors import Fatal
from schemas.task.model import Task

KEY = bytes(range(32))
SOURCES = {"s": {"connector": "csv", "path": "x.csv"}}
COLLECTED: dict[str, Any] = {
    "sale": {
        "columns": {
            "id": {"type": "int64"},
            "sku": {"type": "string"},
            "quantity": {"type": "int64"},
            "paid": {"type": "string"},
        },
        "primary_key": {"column": "id", "conflicts": "drop_all"},
        "sources": SOURCES,
    },
    "product": {
        "columns": {"sku": {"type": "string"}, "price": {"type": "int64"}},
        "primary_key": {"column": "sku", "conflicts": "drop_all"},
        "sources": SOURCES,
    },
}
JOIN = {"sale": {"join": {"product": "sku"}}}
LINES: dict[str, Any] = {
    "from": JOIN,
    "transform": [
        {"filter": "sale.quantity > 0"},
        {"derive": {"each": "product.price / sale.quantity"}},
        {"derive": {"rest": "sale.quantity + 9223372036854775800"}},
        {"filter": "each < 50"},
    ],
}
TOTALS: dict[str, Any] = {
    "from": JOIN,
    "transform": [
        {"filter": "sale.quantity > 0"},
        {
            "aggregate": {
                "by": ["product.sku"],
                "columns": {"rows": "count(*)", "total": "sum(cast(sale.paid as int))", "most": "max(sale.quantity)"},
                "small_groups": "publish",
            }
        },
    ],
}
EVERYTHING: dict[str, Any] = {
    "from": {"sale": {}},
    "transform": [{"aggregate": {"columns": {"rows": "count(*)"}, "small_groups": "publish"}}],
}
ABOVE: dict[str, Any] = {
    "from": {"totals": {}},
    "transform": [{"filter": "totals.total >= 0"}, {"derive": {"mean": "totals.total / totals.rows"}}],
}


@cache
def table(name: str) -> DerivedTable:
    derived = {"lines": LINES, "totals": TOTALS, "everything": EVERYTHING, "above": ABOVE}
    return compile_derived(name, Task.model_validate({"task": "t", "tables": COLLECTED | derived}))


def frames(sales: list[tuple[Any, ...]], products: dict[str, int | None]) -> dict[str, pl.DataFrame]:
    return {
        "sale": pl.DataFrame(
            [(100 + i, i, *sale) for i, sale in enumerate(sales)],
            schema={HASH: pl.UInt64, "id": pl.Int64, "sku": pl.String, "quantity": pl.Int64, "paid": pl.String},
            orient="row",
        ),
        "product": pl.DataFrame(
            [(i, *product) for i, product in enumerate(products.items())],
            schema={HASH: pl.UInt64, "sku": pl.String, "price": pl.Int64},
            orient="row",
        ),
    }


def derived(name: str, rows: dict[str, pl.DataFrame], below: dict[str, pl.DataFrame] | None = None) -> Derived:
    return derive_family({name: table(name)}, rows | (below or {}), KEY)[name]


def balanced(counts: dict[str, Any]) -> bool:
    gone = counts["merged"] + counts["rejected"] + sum(counts["dropped"].values())
    return bool(counts["read"] == counts["prepared"] + gone)


SKUS = st.sampled_from(["a", "b", "c"])
SALES = st.lists(
    st.tuples(
        st.none() | SKUS | st.just("none"),
        st.none() | st.integers(-2, 9),
        st.none() | st.sampled_from(["1", "20", "x", "99999999999999999999"]),
    ),
    max_size=25,
)
PRODUCTS = st.dictionaries(SKUS, st.none() | st.integers(0, 200))


def whole(paid: str | None) -> bool:
    return paid is None or paid in ("1", "20")


@settings(max_examples=50, deadline=None)
@given(SALES, PRODUCTS)
def test_every_row_of_a_table_without_an_aggregate_is_counted_once(
    sales: list[tuple[Any, ...]], products: dict[str, int | None]
) -> None:
    dropped: Counter[str] = Counter()
    rejected: dict[int, str] = {}
    rows: set[int] = set()
    for ident, (sku, quantity, _) in enumerate(sales, 100):
        price = products.get(sku) if sku else None
        if sku not in products:
            dropped["sku.join"] += 1
        elif quantity is None or quantity <= 0:
            dropped["transform.filter"] += 1
        elif quantity > 7:
            rejected[ident] = "rest"
        elif price is None or price / quantity >= 50:
            dropped["transform.filter.2"] += 1
        else:
            rows.add(ident)
    found = derived("lines", frames(sales, products))
    assert set(found.rows[IDENT]) == rows
    assert found.counts["dropped"] == dict(dropped)
    assert dict(found.rejected.select(IDENT, "_column").iter_rows()) == rejected
    assert set(found.rejected["_rule"]) <= {"transform.derive.2"}
    assert (found.counts["read"], found.counts["merged"]) == (len(sales), 0)
    assert balanced(found.counts), found.counts


@settings(max_examples=50, deadline=None)
@given(SALES, PRODUCTS)
def test_every_row_of_an_aggregated_table_is_counted_once(
    sales: list[tuple[Any, ...]], products: dict[str, int | None]
) -> None:
    groups: dict[str, list[int | None]] = {}
    rejected = set()
    for ident, (sku, quantity, paid) in enumerate(sales, 100):
        if sku not in products or quantity is None or quantity <= 0:
            continue
        if whole(paid):
            groups.setdefault(sku, []).append(None if paid is None else int(paid))
        else:
            rejected.add(ident)
    found = derived("totals", frames(sales, products))
    assert {row["sku"]: (row["rows"], row["total"]) for row in found.rows.iter_rows(named=True)} == {
        sku: (len(paid), sum(known) if (known := [p for p in paid if p is not None]) else None)
        for sku, paid in groups.items()
    }
    assert set(found.rejected[IDENT]) == rejected
    assert set(found.rejected["_rule"]) <= {"transform.aggregate"}
    assert set(found.rejected["_column"]) <= {"total"}
    assert balanced(found.counts), found.counts


def test_an_argument_that_cannot_be_computed_is_a_reject_and_never_null() -> None:
    found = derived("totals", frames([("a", 1, "5"), ("a", 2, "x"), ("a", 3, None)], {"a": 1}))
    assert found.rows.select("sku", "rows", "total", "most").rows() == [("a", 2, 5, 3)]
    (reject,) = found.rejected.to_dicts()
    assert (reject[IDENT], reject["sale.paid"], reject["_column"]) == (101, "x", "total")
    assert "x" not in reject["_reason"].split()  # no raw value
    assert reject["_reason"]
    assert found.counts == {"read": 3, "prepared": 1, "merged": 1, "rejected": 1, "dropped": {}}


def test_a_reject_leaves_as_it_came() -> None:
    found = derived("lines", frames([("a", 8, None)], {"a": 1}))
    assert found.rejected.height == 1
    base = ["sale.id", "sale.sku", "sale.quantity", "sale.paid"]
    assert found.rejected.columns == [*base, IDENT, "product.sku", "product.price", "_column", "_rule", "_reason"]


@pytest.mark.parametrize("there", [[], ["sale"], ["product"]])
@pytest.mark.parametrize("name", ["lines", "totals"])
def test_a_table_that_nothing_has_come_of_yet_meets_nothing(name: str, there: list[str]) -> None:
    both = frames([("a", 1, "1"), (None, 1, "1")], {"a": 1})
    found = derived(name, {one: both[one] for one in there})
    assert found.rows.columns == [IDENT, *table(name).columns]
    assert found.rows.schema == derived(name, both).rows.schema
    read = 2 if "sale" in there else 0
    assert found.counts["read"] == read
    assert found.counts["dropped"] == ({"sku.join": 2} if read else {})
    assert (found.counts["prepared"], found.rejected.height) == (0, 0)


def test_everything_of_no_rows_is_one_row() -> None:
    found = derived("everything", {})
    assert found.rows.select("rows").rows() == [(0,)]
    assert found.counts == {"read": 0, "prepared": 1, "merged": 0, "rejected": 0, "dropped": {}}
    some = derived("everything", frames([("a", 1, "1")] * 3, {}))
    assert some.rows[IDENT].to_list() == found.rows[IDENT].to_list()  # it is the same row, whatever it says
    assert some.counts["merged"] == 2


def test_a_table_over_a_derived_one_counts_what_that_one_gave() -> None:
    rows = frames([("a", 1, "5"), ("a", 2, "7"), ("b", 1, None)], {"a": 1, "b": 1})
    totals = derived("totals", rows)
    found = derived("above", rows, {"totals": totals.rows})
    assert found.rows.select("sku", "total").rows() == [("a", 12)]
    assert found.counts == {"read": 2, "prepared": 1, "merged": 0, "rejected": 0, "dropped": {"transform.filter": 1}}
    assert set(found.rows[IDENT]) < set(totals.rows[IDENT])


@settings(max_examples=40, deadline=None)
@given(SALES, PRODUCTS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(
    sales: list[tuple[Any, ...]], products: dict[str, int | None], random: Any
) -> None:
    rows = frames(sales, products)
    shuffled = {name: frame.sample(fraction=1, shuffle=True, seed=random.randrange(99)) for name, frame in rows.items()}
    for name in ("lines", "totals"):
        one, two = derived(name, rows), derived(name, shuffled)
        assert one.rows.sort(IDENT).equals(two.rows.sort(IDENT))
        assert one.counts == two.counts
        assert one.rejected.sort(IDENT).equals(two.rejected.sort(IDENT))


def test_groups_are_named_by_the_run_s_key() -> None:
    rows = frames([("a", 1, "1")], {"a": 1})
    one, two = (
        derive_family({"totals": table("totals")}, rows, key)["totals"].rows[IDENT].item() for key in (KEY, bytes(32))
    )
    assert one != two


def test_only_what_is_looked_at_is_held() -> None:
    assert table("totals").needed == {"sale": ("sku", "quantity", "paid"), "product": ("sku",)}
    assert set(table("above").needed["totals"]) == {"sku", "rows", "total", "most"}


def test_a_joined_table_needs_a_key_of_one_column() -> None:
    product = COLLECTED["product"] | {"primary_key": {"column": ["sku", "price"], "conflicts": "drop_all"}}
    tables = COLLECTED | {"product": product, "lines": LINES}
    with pytest.raises(Fatal, match=r"tables.lines.from.sale.join.product: .*primary key of one column"):
        compile_derived("lines", Task.model_validate({"task": "t", "tables": tables}))
