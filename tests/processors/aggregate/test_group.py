"""Aggregates against plain Python, with exact decimals."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.aggregate.group import aggregate
from schemas.errors import Fatal
from schemas.task.model import Aggregate, Kind
from tests.processors.transform.compiled import compile_aggregate

COLUMNS = {"g": Kind("string"), "i": Kind("int64"), "d": Kind("decimal", 2), "f": Kind("float64"), "s": Kind("string")}
SCHEMA = {name: kind.polars for name, kind in COLUMNS.items()}
ASKED = {
    "rows": "count(*)",
    "known": "count(i)",
    "kinds": "count(distinct s)",
    "least": "min(s)",
    "most": "max(d)",
    "whole": "sum(i)",
    "exact": "sum(d)",
    "rough": "sum(f)",
    "mean_i": "avg(i)",
    "mean_d": "avg(d)",
}
rows_strategy = st.lists(
    st.fixed_dictionaries(
        {
            "g": st.sampled_from(["a", "b", "", None]),
            "i": st.none() | st.integers(-(10**12), 10**12),
            "d": st.none() | st.integers(-(10**14), 10**14).map(lambda n: Decimal(n).scaleb(-2)),
            "f": st.none() | st.floats(-1e9, 1e9),
            "s": st.none() | st.sampled_from(["x", "y", "é", ""]),
        }
    ),
    max_size=30,
)


def of(rows: list[dict[str, Any]], by: list[str], columns: dict[str, str]) -> list[dict[str, Any]]:
    plan = compile_aggregate(Aggregate(by=by, columns=columns), COLUMNS)
    return aggregate(pl.DataFrame(rows, schema=SCHEMA, orient="row"), plan).to_dicts()


def expected(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def present(name: str) -> list[Any]:
        return [row[name] for row in rows if row[name] is not None]

    def over(values: list[Any], what: Callable[[list[Any]], Any]) -> Any:
        return what(values) if values else None

    return {
        "rows": len(rows),
        "known": len(present("i")),
        "kinds": len(set(present("s"))),
        "least": over(present("s"), lambda v: min(v, key=str.encode)),
        "most": over(present("d"), max),
        "whole": over(present("i"), sum),
        "exact": over(present("d"), sum),
        "rough": over(present("f"), sum),
        "mean_i": over(present("i"), lambda v: Decimal(sum(v)) / len(v)),
        "mean_d": over(present("d"), lambda v: sum(v) / len(v)),
    }


def agree(got: dict[str, Any], want: dict[str, Any]) -> None:
    for name in ("rows", "known", "kinds", "least", "most", "whole", "exact"):
        assert got[name] == want[name], name
    assert got["rough"] == (None if want["rough"] is None else pytest.approx(want["rough"], rel=1e-9, abs=1e-3))
    for name in ("mean_i", "mean_d"):
        if want[name] is None:
            assert got[name] is None
        else:
            unit = Decimal(1).scaleb(-9)
            assert abs(got[name] - want[name]) <= unit, name
            assert got[name].as_tuple().exponent == -9


@settings(max_examples=60, deadline=None)
@given(rows_strategy)
def test_of_everything(rows: list[dict[str, Any]]) -> None:
    (got,) = of(rows, [], ASKED)
    agree(got, expected(rows))


@settings(max_examples=60, deadline=None)
@given(rows_strategy, st.randoms(use_true_random=False))
def test_of_groups_whatever_the_order(rows: list[dict[str, Any]], random: Any) -> None:
    got = {row["g"]: row for row in of(rows, ["g"], ASKED)}
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["g"], []).append(row)
    assert got.keys() == groups.keys()  # a null is a group like any other
    for name, members in groups.items():
        agree(got[name], expected(members))
    shuffled = random.sample(rows, len(rows))
    assert {row["g"]: row for row in of(shuffled, ["g"], ASKED)} == got  # to the last bit, floats too


def test_no_rows_give_no_group_but_one_row_of_everything() -> None:
    assert of([], ["g"], ASKED) == []
    (alone,) = of([], [], ASKED)
    assert alone == expected([])


def row(**values: Any) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | values


@pytest.mark.parametrize("by", [[], ["g"]])
@pytest.mark.parametrize("values", [[2**63 - 1, 1], [-(2**63), -1]])
def test_a_sum_beyond_64_bits_is_refused(by: list[str], values: list[int]) -> None:
    with pytest.raises(Fatal, match=r"total.*does not fit 64-bit"):
        of([row(g="a", i=value) for value in values], by, {"total": "sum(i)"})


@pytest.mark.parametrize("by", [[], ["g"]])
def test_a_sum_that_fits_by_its_end_is_exact(by: list[str]) -> None:
    values = [2**63 - 1, 5, -5, -(2**63 - 1), -(2**63)]
    (got,) = of([row(g="a", i=value) for value in values], by, {"total": "sum(i)", "mean": "avg(i)"})
    assert got["total"] == -(2**63)
    assert got["mean"] == (Decimal(-(2**63)) / 5).quantize(Decimal(1).scaleb(-9), ROUND_HALF_UP)


@pytest.mark.parametrize("by", [[], ["g"]])
@pytest.mark.parametrize("function", ["sum", "avg"])
def test_a_total_beyond_38_digits_is_refused(by: list[str], function: str) -> None:
    wide = [row(g="a", d=Decimal("9" * 36 + ".99")) for _ in range(2)]
    with pytest.raises(Fatal, match=r"total.*does not fit decimals of 38 digits"):
        of(wide, by, {"total": f"{function}(d)"})


def test_an_average_rounds_to_the_nearest() -> None:
    (got,) = of([row(i=value) for value in (1, 1, 0)], [], {"mean": "avg(i)"})
    assert got["mean"] == (Decimal(2) / 3).quantize(Decimal(1).scaleb(-9), ROUND_HALF_EVEN)
