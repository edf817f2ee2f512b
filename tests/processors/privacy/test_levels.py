"""Levels of every form: groups that nest, names, what each loses, and what is refused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.privacy.level_choice import chosen_for
from processors.privacy.level_forms import dates, networks, numbers, places, prefixes
from processors.privacy.levels import Levels, from_csv, levels_of
from processors.wrong_config import MisfitError


def shown(levels: Levels, value: Any) -> list[str | None]:
    leaf = levels.encode(pl.Series([value], dtype=levels.values.dtype))
    return [levels.named(leaf, level)[0] for level in range(levels.height + 1)]


def nests(levels: Levels) -> None:
    for level in range(levels.height):
        pairs = set(zip(levels.groups[level].tolist(), levels.groups[level + 1].tolist(), strict=True))
        assert len(pairs) == levels.sizes[level] == len(set(levels.groups[level].tolist()))
        assert set(levels.groups[level].tolist()) == set(range(levels.sizes[level]))
    assert all(((share >= 0) & (share <= 1)).all() for share in levels.shares)


def test_a_hierarchy_in_arx_form() -> None:
    levels = from_csv("1;low;*\n2;low;*\n3;high;*\n")
    assert shown(levels, "2") == ["2", "low", "*"]
    assert [share.tolist() for share in levels.shares] == [[0, 0, 0], [2 / 3, 0], [1]]
    assert [levels.leaf_shares(level).tolist() for level in range(3)] == [[0, 0, 0], [0.5, 0], [1]]
    assert levels.encode(pl.Series([3, 1])).tolist() == [2, 0]
    with pytest.raises(MisfitError, match="lacks '4', '5', '6' and 1 more; give every value"):
        levels.encode(pl.Series(["4", "5", "1", "6", "7"]))
    with pytest.raises(MisfitError, match="lacks null"):
        levels.encode(pl.Series(["1", None]))
    with pytest.raises(MisfitError, match="has a hole"):
        from_csv("1;low;*\n2;;*\n")
    with pytest.raises(MisfitError, match="level 1 in two groups of level 2"):
        levels_of(pl.Series(["1", "2"]), [pl.Series(["a", "a"]), pl.Series(["b", "c"])], "by hand")


def test_null_is_a_value_until_all_are_one_group() -> None:
    levels = from_csv("1;low;*\n2;low;*\n").with_null()
    assert shown(levels, None) == [None, None, "*"]
    assert levels.shares[1].tolist() == [1, 0]
    assert levels.leaf_shares(2).tolist() == [1]
    assert levels.with_null() is levels
    assert shown(from_csv("1;low\n2;high\n").with_null(), None) == [None, None]


def test_intervals() -> None:
    levels = numbers(pl.Series([0, 7, 12, 40, -3]), [5, 10, 20])
    assert shown(levels, 12) == ["12", "[10, 15)", "[10, 20)", "[0, 20)", "*"]
    assert shown(levels, -3) == ["-3", "[-5, 0)", "[-10, 0)", "[-20, 0)", "*"]
    assert levels.shares[2][0] == pytest.approx(10 / 43)
    assert levels.chosen == "intervals of 5, 10, 20"
    tenths = numbers(pl.Series([0.3, 0.1, 0.7, -0.2]), ["0.1", "0.2"])
    assert shown(tenths, 0.3)[1:3] == ["[0.3, 0.4)", "[0.2, 0.4)"]
    assert shown(tenths, 0.7)[1] == "[0.7, 0.8)"
    exact = numbers(pl.Series([Decimal("0.30"), Decimal("1.99")], dtype=pl.Decimal(38, 2)), ["0.05", 1], top=False)
    assert shown(exact, Decimal("1.99")) == ["1.99", "[1.95, 2.00)", "[1, 2)"]
    largest = numbers(pl.Series([2**63 + 10, 5], dtype=pl.UInt64), [2**61])
    assert shown(largest, 2**63 + 10)[1] == f"[{2**63}, {2**63 + 2**61})"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.sampled_from([["0.1", "0.3"], [5, 10, 20], ["0.25", 1]]))
def test_a_value_lies_between_the_bounds_that_are_told(values: list[float], steps: list[Any]) -> None:
    levels = numbers(pl.Series(values), steps)
    nests(levels)
    for value in values:
        for name in shown(levels, value)[1:-1]:
            low, high = str(name).strip("[)").split(", ")
            assert float(low) <= value < float(high)


def test_calendar_units() -> None:
    days = pl.Series([dt.date(1987, 5, 17), dt.date(1987, 6, 1), dt.date(1991, 12, 31)])
    levels = dates(days, ["day", "month", "quarter", "year", "decade"])
    assert shown(levels, days[0]) == ["1987-05-17", "1987-05-17", "1987-05", "1987-Q2", "1987", "1980s", "*"]
    assert levels.shares[4][0] == pytest.approx(365 / (days[2] - days[0]).days)
    moments = pl.Series([dt.datetime(2020, 2, 29, 13, 7), dt.datetime(2020, 3, 1)], dtype=pl.Datetime("us", "UTC"))
    assert shown(dates(moments, ["minute", "hour", "week"]), moments[0])[1:] == [
        "2020-02-29 13:07", "2020-02-29 13", "2020-W09", "*"
    ]  # fmt: skip
    with pytest.raises(MisfitError, match="weeks, which do not nest in a month"):
        dates(days, ["week", "month"])
    with pytest.raises(MisfitError, match="has month after year"):
        dates(days, ["year", "month"])


def test_networks_and_codes_and_places() -> None:
    levels = networks(pl.Series(["192.0.2.7", "192.0.2.9", "198.51.100.1", "2001:db8:1:2::3", "nowhere"]))
    assert shown(levels, "192.0.2.7") == ["192.0.2.7", "192.0.2.0/24", "192.0.0.0/16", "192.0.0.0/8", "*"]
    assert shown(levels, "2001:db8:1:2::3")[1:4] == ["2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32"]
    assert shown(levels, "nowhere")[1:] == [None, None, None, "*"]
    codes = prefixes(pl.Series(["10115", "10119", "80331", "123"]))
    assert shown(codes, "10115") == ["10115", "1011*", "101*", "10*", "1*", "*"]
    assert shown(codes, "123") == ["123", "123", "123", "12*", "1*", "*"]
    berlin = places(pl.Series(["52.52,13.405", "48.8566, 2.3522", "90,180", "-90,-180"]), [6, 3, 1])
    assert shown(berlin, "52.52,13.405")[1:] == ["u33dc0", "u33", "u", "*"]
    assert shown(berlin, "48.8566, 2.3522")[1] == "u09tvw"
    assert shown(berlin, "90,180")[1] == "zzzzzz"
    for each in (levels, codes, berlin):
        nests(each)


def test_levels_that_are_chosen() -> None:
    ages = chosen_for(pl.Series(range(17, 91)))
    assert ages.chosen == "intervals of 5, 10, 20, 40"
    assert ages.sizes[-1] == 1
    assert chosen_for(pl.Series([0.5, 0.75, 1.5])).chosen == "intervals of 0.05, 0.10, 0.20, 0.40, 0.80"
    assert chosen_for(pl.Series([dt.date(2020, 1, 1)])).chosen == "calendar units: month, quarter, year, decade"
    assert chosen_for(pl.Series(["10115", "80331"])).chosen == "first characters: 4, 3, 2, 1"
    assert chosen_for(pl.Series(["10.0.0.1", "::1"])).chosen.startswith("networks")
    for values in (["Berlin", "Paris1"], [True, False], [None, None], ["a1", "b22"], []):
        plain = chosen_for(pl.Series(values, dtype=None if values else pl.String))
        assert (plain.height, plain.chosen) == (1, "all values are one group")
    assert chosen_for(pl.Series([5, 5])).chosen == "all values are one group"
    assert chosen_for(pl.Series([-1e30, 1e30])).sizes[-1] == 1
    widest = [Decimal(f"{sign}9.99e27") for sign in "+-"]
    assert chosen_for(pl.Series(widest, dtype=pl.Decimal(38, 9))).sizes[-1] == 1
    assert chosen_for(pl.Series([1.0, float("inf")])).height == 1
    often = chosen_for(pl.Series([17] * 50 + list(range(17, 91))))
    assert often.names[1].to_list() == ages.names[1].to_list()


@given(st.lists(st.one_of(st.integers(-(2**62), 2**62), st.integers(-50, 50)), min_size=1))
def test_chosen_intervals_nest_and_end_in_one_group(values: list[int]) -> None:
    levels = chosen_for(pl.Series(values, dtype=pl.Int64))
    nests(levels)
    assert levels.sizes[-1] == 1
    assert all(size <= 34 for size in levels.sizes[1:])
    assert (np.diff([share.max() for share in levels.shares]) >= 0).all()


def test_steps_that_fit_nothing_are_refused() -> None:
    column = pl.Series([1, 2, 3])
    wrong: dict[str, list[Any]] = {
        "a step of 12 after 5; give a multiple, as 10": [5, 12],
        "a step of 5 after 5": [5, 5],
        "a step of 0": [0],
        "a step of x": ["x"],
        "a step of 0.5, which values of this type": ["0.5"],
        "a step of 1000000000000000000000 after 1; give a multiple, as 1000000000000000": [1, 10**21],
    }
    for message, steps in wrong.items():
        with pytest.raises(MisfitError, match=message):
            numbers(column, steps)
    with pytest.raises(MisfitError, match="no finite number"):
        numbers(pl.Series([1.0, float("nan")]), [5])
    with pytest.raises(MisfitError, match="too fine for the values"):
        numbers(pl.Series([1e300]), [1])
    with pytest.raises(MisfitError, match="which is no place"):
        places(pl.Series(["91,0"]))
    with pytest.raises(MisfitError, match="keep fewer on each level"):
        prefixes(pl.Series(["12"]), [1, 1])
    with pytest.raises(MisfitError, match="from 12 to 1"):
        places(pl.Series(["1,0"]), [13])
    with pytest.raises(MisfitError, match="after /8 and /64"):
        networks(pl.Series(["10.0.0.1"]), [(8, 64), (16, 48)])
