"""Domains of quasi-identifiers: a published group covers the values it stands for, and tells none of them."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from processors.privacy.domains.dimension import Dimension, Grain, Survey, dimension, encode, survey
from processors.privacy.domains.scale import CELLS, derived
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Column

NONE = np.zeros(1, dtype=np.bool_)
ROWS = [
    ["Oslo", "Norway", "Europe"],
    ["Rome", "Italy", "Europe"],
    ["Lima", "Peru", "America"],
    ["Bergen", "Norway", "Europe"],
]


def domain(kind: ColumnType, values: list[Any], **grain: Any) -> tuple[Dimension, pl.Series]:
    column = Column(type=kind, scale=2)
    series = pl.Series(values, dtype=polars_type(kind, 2))
    return dimension(column, Grain(**grain), survey(series, kind)), series


def coded(one: Dimension, values: pl.Series) -> np.ndarray[Any, Any]:
    return encode({"v": one}, values.alias("v").to_frame())[0]


def names(one: Dimension, low: int, high: int, nulls: bool = False) -> str | None:
    found: str | None = one.names(np.array([low]), np.array([high]), np.array([nulls]))[0]
    return found


def group(one: Dimension, values: pl.Series) -> str | None:
    """What these values are called together."""
    codes = [int(code) for code in coded(one, values)]
    there = [code for code in codes if code]
    return names(one, min(there, default=0), max(there, default=0), 0 in codes)


def covers(name: str, value: Any, read: Any) -> bool:
    """Whether the text of a group of numbers or moments has the value in it, as a reader takes it."""
    if name == "*":
        return True
    if name.startswith("<"):
        return bool(value < read(name[1:]))
    if name.startswith(">="):
        return bool(value >= read(name[2:]))
    low, _, high = name.partition("..")
    if high.startswith("<"):
        return bool(read(low) <= value < read(high[1:]))
    return bool(read(low) <= value <= read(high or low))


INT64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS: dict[str, tuple[Any, Any]] = {
    "int64": (st.integers(-1000, 1000) | INT64, int),
    "float64": (st.floats(-1e6, 1e6) | st.floats(allow_nan=False), float),
    "decimal": (st.decimals(-(10**30), 10**30, places=2) | st.decimals(-10, 10, places=2), Decimal),
}


@pytest.mark.parametrize("kind", NUMBERS)
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_numbers_lie_within_what_they_are_called(kind: ColumnType, data: st.DataObject) -> None:
    values, read = NUMBERS[kind]
    seen, later = (data.draw(st.lists(values | st.none(), max_size=6)) for _ in range(2))
    one, series = domain(kind, seen)
    several = pl.concat([series, pl.Series(later, dtype=series.dtype)])
    together = group(one, several)
    for value in several:
        if value is None:
            continue
        alone = group(one, pl.Series([value], dtype=series.dtype))
        assert alone is not None
        assert covers(alone, value, read), alone
        assert together is not None
        assert covers(together.removeprefix("null|"), value, read), together
    assert (together is None) == (several.null_count() == len(several))
    if together:
        assert together.startswith("null|") == (several.null_count() > 0)


@given(st.lists(st.floats(0, 50), min_size=1), st.sampled_from(["0.1", "0.3", 0.7, 5, "12.5"]))
@settings(max_examples=50, deadline=None)
def test_bounds_are_lines_of_the_grid(values: list[float], step: Any) -> None:
    one, series = domain("float64", values, step=step)
    for value in values:
        low, high = group(one, pl.Series([value])).split("..<")  # type: ignore[union-attr]
        assert Decimal(low) % Decimal(str(step)) == 0
        assert Decimal(high) - Decimal(low) == Decimal(str(step))
        assert float(low) <= value < float(high)
    assert coded(one, series).dtype == (np.uint8 if one.size <= 256 else np.uint16)


@given(st.decimals("0.001", 10**12, places=3))
def test_a_grid_that_is_not_declared_has_a_round_step(extent: Decimal) -> None:
    step = derived(extent, Decimal("1e-9"))
    assert step.normalize().as_tuple().digits in ((1,), (2,), (5,))
    assert math.floor(extent / step) + 2 <= CELLS + 1
    assert extent / step > CELLS / 6


def test_a_single_value_is_not_told_to_its_last_digit() -> None:
    for kind in ("float64", "decimal"):
        one, series = domain(kind, [Decimal("5.25")] if kind == "decimal" else [5.25])  # type: ignore[arg-type]
        assert group(one, series) == "5..<6"


@pytest.mark.parametrize(
    ("grain", "value", "name"),
    [
        ({"step": 10}, 36, "30..39"),
        ({"step": 10}, -1, "-10..-1"),
        ({"step": 1}, 36, "36"),
        ({"step": 10, "min": 20, "max": 59}, 19, "<20"),
        ({"step": 10, "min": 20, "max": 59}, 60, ">=60"),
        ({"step": 10, "min": 20, "max": 59}, 59, "50..59"),
        ({}, 36, "36"),
    ],
)
def test_whole_numbers(grain: dict[str, Any], value: int, name: str) -> None:
    one, _ = domain("int64", [-8, 90], **grain)
    assert group(one, pl.Series([value])) == name


def test_intervals_that_reach_beyond_the_range() -> None:
    one, _ = domain("int64", [], step=10, min=0, max=29)
    assert group(one, pl.Series([-5, 12])) == "<20"
    assert group(one, pl.Series([12, 99])) == ">=10"
    assert group(one, pl.Series([-5, 99])) == "*"
    low, high = (np.array(codes) for codes in ([0, 1, 2, 2, 3, 2], [0, 2, 2, 4, 5, 3]))
    assert one.loss(low, high).tolist() == [0, 1, 9 / 29, 1, 1, 19 / 29]


MOMENTS = [
    ("date", "day", dt.date(2020, 2, 29), "2020-02-29", "2020-02-29..2021-03-01"),
    ("date", "month", dt.date(2020, 2, 29), "2020-02", "2020-02..2021-03"),
    ("date", "quarter", dt.date(2020, 2, 29), "2020-Q1", "2020-Q1..2021-Q1"),
    ("date", "year", dt.date(2020, 2, 29), "2020", "2020..2021"),
    ("date", "decade", dt.date(2020, 2, 29), "2020s", "2020s"),
    (
        "timestamp",
        "hour",
        dt.datetime(2020, 2, 29, 23, 59, tzinfo=dt.UTC),
        "2020-02-29T23",
        "2020-02-29T23..2021-03-01T00",
    ),
    ("timestamp", "day", dt.datetime(1969, 12, 31, 23, tzinfo=dt.UTC), "1969-12-31", "1969-12-31..2021-03-01"),
]


@pytest.mark.parametrize(("kind", "unit", "value", "alone", "together"), MOMENTS)
def test_moments(kind: ColumnType, unit: Any, value: Any, alone: str, together: str) -> None:
    last = dt.date(2021, 3, 1) if kind == "date" else dt.datetime(2021, 3, 1, tzinfo=dt.UTC)
    one, series = domain(kind, [value, last, None], unit=unit)
    assert group(one, series[:1]) == alone
    assert group(one, series[:2]) == together
    assert group(one, series) == f"null|{together}"


def test_the_unit_follows_the_range() -> None:
    days, _ = domain("date", [dt.date(2020, 1, 1), dt.date(2020, 3, 1)])
    lives, born = domain("date", [dt.date(1931, 5, 1), dt.date(2019, 3, 1)])
    ages, all_time = domain("date", [dt.date(1, 1, 1), dt.date(9999, 12, 31)])
    assert days.size == 61 + 3
    assert group(lives, born) == "1931..2019"
    assert group(ages, all_time) == "0000s..9990s"


def test_moments_that_the_calendar_does_not_reach_are_null() -> None:
    series = pl.Series([0, 2**31 - 1], dtype=pl.Int32).cast(pl.Date)
    one = dimension(Column(type="date"), Grain(unit="day"), survey(series, "date"))
    assert coded(one, series).tolist() == [2, 0]


def test_hierarchies_name_the_narrowest_group() -> None:
    one, _ = domain("string", [], rows=ROWS)
    assert group(one, pl.Series(["Oslo"])) == "Oslo"
    assert group(one, pl.Series(["Oslo", "Bergen"])) == "Norway"
    assert group(one, pl.Series(["Oslo", "Rome", None])) == "null|Europe"
    assert group(one, pl.Series(["Lima", "Rome"])) == "*"
    assert group(one, pl.Series(["Oslo", "Atlantis"])) == "*"
    assert group(one, pl.Series(["Atlantis"])) == "*"
    codes = coded(one, pl.Series(["Oslo", "Bergen", "Rome", "Lima", "Atlantis", None])).astype(np.int64)
    assert one.loss(codes[[0, 0, 0, 0, 4, 5]], codes[[0, 1, 2, 3, 4, 5]]).tolist() == [0, 0.5, 0.75, 1, 1, 0]
    assert one.depth(codes[:3], codes[1:4]).tolist() == [2, 1, 0]
    assert one.depth(np.zeros(1, dtype=np.int64), codes[:1]).tolist() == [0]


@given(st.permutations(ROWS))
def test_leaves_of_a_group_have_codes_in_a_row(rows: list[list[str]]) -> None:
    one, _ = domain("string", [], rows=rows)
    codes = coded(one, pl.Series(["Oslo", "Bergen", "Rome"]))
    assert max(codes) - min(codes) == 2
    assert abs(int(codes[0]) - int(codes[1])) == 1


@pytest.mark.parametrize("leaves", [40, 800])
def test_large_hierarchies_say_the_same_without_a_table(leaves: int) -> None:
    rows = [[str(i), f"ten {i // 10}", f"hundred {i // 100}", "*"] for i in range(leaves)]
    one, _ = domain("int64", [], rows=rows)
    below, above = (
        coded(one, pl.Series(values)).astype(np.int64) for values in ([11, 11, 11, 11, 11], [11, 12, 25, 35, 39])
    )
    assert one.depth(below, above).tolist() == [3, 2, 1, 1, 1]
    assert one.width(below, above).tolist() == [0, 10 / leaves] + [min(100, leaves) / leaves] * 3


def test_categories_without_a_hierarchy_are_listed() -> None:
    one, colours = domain("string", ["red", "blue", "green", None])
    assert group(one, pl.Series(["green", "blue"])) == "blue|green"
    assert group(one, colours[:3]) == "*"
    assert group(one, pl.Series(["red", None])) == "null|red"
    assert group(one, pl.Series(["mauve"])) == "*"
    assert group(one, pl.Series([None], dtype=pl.String)) is None
    assert one.loss(np.array([1, 1, 1, 4, 0]), np.array([1, 2, 3, 4, 0])).tolist() == [0, 2 / 3, 1, 1, 0]
    many, _ = domain("string", [f"{i:03d}" for i in range(300)])
    assert coded(many, pl.Series(["299"])).dtype == np.uint16
    assert (names(many, 1, 32), names(many, 1, 33)) == ("|".join(f"{i:03d}" for i in range(32)), "*")
    flags, both = domain("bool", [True, False])
    assert (group(flags, both[:1]), group(flags, both)) == ("true", "*")


def test_nothing_known_is_a_domain_too() -> None:
    for kind in ("int64", "float64", "decimal", "date", "timestamp", "string", "bool"):
        one, none = domain(kind, [None])  # type: ignore[arg-type]
        assert coded(one, none).tolist() == [0]
        assert names(one, 0, 0, True) is None


def test_a_survey_of_parts_is_one_of_the_whole() -> None:
    numbers = pl.Series([4, None, -2, 9])
    assert survey(numbers[:2], "int64").joined(survey(numbers[2:], "int64")) == survey(numbers, "int64")
    texts = pl.Series(["b", "a", None, "b", "c"])
    parts = survey(texts[:2], "string").joined(survey(texts[2:], "string")).joined(Survey())
    assert parts.values is not None
    assert parts.values.to_list() == ["a", "b", "c"]
    assert survey(pl.Series([math.nan, math.inf, 1.0, None]), "float64") == Survey(1.0, 1.0)


@pytest.mark.parametrize(
    ("kind", "grain", "says"),
    [
        ("string", {"step": 5}, "does not fit a column of type string; give hierarchy"),
        ("date", {"step": 5}, "give hierarchy, unit"),
        ("date", {"unit": "hour"}, "finer than a date"),
        ("json", {}, "is of type json"),
        ("int64", {"step": "0.5"}, "give multiples of 1"),
        ("decimal", {"step": "0.005"}, "give multiples of 0.01"),
        ("int64", {"step": -1}, "give a positive number"),
        ("int64", {"step": "ten"}, "is no number"),
        ("int64", {"step": 1, "min": 0, "max": 10**12}, "give a larger step"),
        ("int64", {"min": 5, "max": 1}, "min that is not above max"),
        ("int64", {"hierarchy": "ages.csv"}, "was not read"),
        ("string", {"rows": [["a", ""], ["b", "*"]]}, "has a hole"),
    ],
)
def test_what_does_not_fit_is_refused(kind: ColumnType, grain: dict[str, Any], says: str) -> None:
    with pytest.raises(MisfitError, match=says):
        domain(kind, [], **grain)


def test_one_form_at_most() -> None:
    with pytest.raises(ValidationError, match="several ways"):
        Grain(step=1, unit="day")
    with pytest.raises(ValidationError, match="no number"):
        Grain(min=1, unit="day")
