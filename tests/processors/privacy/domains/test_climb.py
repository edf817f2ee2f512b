"""Levels over a domain: they nest, hold what is below them, are named as groups are, and lie on the grain."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.privacy.domains.climb import check, climb
from processors.privacy.domains.dimension import Grain, dimension, survey
from processors.privacy.domains.levels import Levels
from processors.privacy.measured.breadth import breadth
from processors.wrong_config import MisfitError
from schemas.columns import polars_type
from schemas.task.model import Column
from tests.oracle.properties import within

CITIES = [["Oslo", "Norway", "North"], ["Bergen", "Norway", "North"], ["Rome", "Italy", "South"]]


def climbed(kind: Any, values: list[Any], **grain: Any) -> tuple[Levels, list[list[str | None]]]:
    """The levels, and what each value is called on each of them."""
    column = Column(type=kind, scale=2)
    series, fine = pl.Series(values, dtype=polars_type(kind, 2)), Grain(**grain)
    axis = dimension(column, fine, survey(series, kind))
    codes = axis.encode(series).astype(np.int64)
    levels = climb(axis, fine, np.unique(codes))
    leaves = levels.encode(pl.Series([code or None for code in codes.tolist()], dtype=pl.Int64))
    return levels, [levels.named(leaves, level).to_list() for level in range(levels.height + 1)]


@given(st.lists(st.one_of(st.none(), st.integers(-300, 300)), max_size=20), st.sampled_from([None, 1, 5, 20]))
def test_intervals_hold_their_values_nest_and_end_in_one_group(values: list[int | None], step: int | None) -> None:
    levels, names = climbed("int64", values, step=step)
    for level, told in enumerate(names):
        assert all(within(name, value) for name, value in zip(told, values, strict=True))
        above = names[min(level + 1, levels.height)]
        assert len(set(zip(told, above, strict=True))) == len(set(told))
        assert ((levels.shares[level] >= 0) & (levels.shares[level] <= 1)).all()
    assert len(set(names[-1])) <= 1


def test_steps_double_from_the_finest_or_are_those_declared() -> None:
    _, names = climbed("int64", [17, 30, 90], step=10)
    assert [level[0] for level in names] == ["10..19", "0..19", "0..39", "0..79", "*"]
    levels, names = climbed("int64", [17, 30, 90], steps=[5, 10, 50])
    assert [level[2] for level in names] == ["90..94", "90..99", "50..99", "*"]
    assert levels.chosen == "intervals: 5, 10, 50"
    _, names = climbed("decimal", [Decimal("1.25"), Decimal("9.75")], steps=["0.5", "2.5"])
    assert names == [["1..<1.5", "9.5..<10"], ["0..<2.5", "7.5..<10"], ["*", "*"]]


def test_declared_bounds_are_not_crossed() -> None:
    _, names = climbed("int64", [10, 30, 44, 99, None], step=10, min=20, max=59)
    assert names[0] == ["<20", "30..39", "40..49", ">=60", None]
    assert names[1] == ["<20", "20..39", "40..59", ">=60", None]
    assert names[-1] == ["null|*"] * 5


def test_moments_climb_the_calendar() -> None:
    days = [dt.date(1969, 12, 31), dt.date(1970, 1, 1), dt.date(2020, 5, 7), None]
    levels, names = climbed("date", days, unit="day")
    assert [level[2] for level in names] == ["2020-05-07", "2020-05", "2020-Q2", "2020", "2020s", "null|*"]
    assert [level[0] for level in names] == ["1969-12-31", "1969-12", "1969-Q4", "1969", "1960s", "null|*"]
    assert levels.sizes == (4, 4, 4, 4, 4, 1)
    _, names = climbed("timestamp", [dt.datetime(2020, 5, 7, 23, tzinfo=dt.UTC)], units=["hour", "month", "decade"])
    assert [level[0] for level in names] == ["2020-05-07T23", "2020-05", "2020s", "*"]


def test_hierarchies_are_climbed_and_what_they_lack_is_all_there_is() -> None:
    levels, names = climbed("string", ["Oslo", "Rome", "Atlantis", None], rows=CITIES)
    assert names == [
        ["Oslo", "Rome", "*", None], ["Norway", "Italy", "*", None], ["North", "South", "*", None], ["null|*"] * 4,
    ]  # fmt: skip
    assert [share.max() for share in levels.shares] == [1, 1, 1, 1]
    assert levels.shares[1][levels.groups[1][0]] == 2 / 3


def test_texts_without_a_hierarchy_have_levels_that_tell_their_width() -> None:
    codes = ["10115", "10117", "20095"]
    levels, names = climbed("string", codes)
    assert [level[0] for level in names] == ["10115", "1011*", "101**", "10***", "1****", "*"]
    addresses = ["10.1.2.3", "10.1.9.9", "2001:db8::1"]
    networks, seen = climbed("string", addresses)
    assert seen[1] == ["10.1.2.0/24", "10.1.9.0/24", "2001:db8::/64"]
    assert seen[2] == ["10.1.0.0/16", "10.1.0.0/16", "2001:db8::/48"]
    for found, told in ((levels, names), (networks, seen)):
        for level, cells in enumerate(told):
            losses = breadth("string", None, pl.Series(cells), levels=True).losses(sorted({str(c) for c in cells}))
            leaves = found.encode(found.values)
            shares = found.shares[level][found.groups[level][leaves]]
            assert losses is not None
            assert [losses[str(cell)] for cell in cells] == pytest.approx(shares.tolist())
    _, names = climbed("string", ["blue", "green"])
    assert names == [["blue", "green"], ["*", "*"]]


@pytest.mark.parametrize(("kind", "values"), [("int64", [None]), ("string", []), ("date", [None, None]), ("bool", [])])
def test_nothing_has_levels_too(kind: str, values: list[Any]) -> None:
    _, names = climbed(kind, values)
    assert all(name is None for level in names for name in level)


@pytest.mark.parametrize(
    ("grain", "told"),
    [
        ({"steps": [10, 25]}, "has a step of 25 after 10; give a multiple, as 30"),
        ({"steps": [10, 10]}, "has a step of 10 after 10; give a multiple, as 20"),
        ({"steps": ["x"]}, "has a step of x; give positive numbers"),
    ],
)
def test_steps_that_do_not_nest_are_refused(grain: dict[str, Any], told: str) -> None:
    with pytest.raises(MisfitError) as caught:
        check(Grain(**grain))
    assert f"{caught.value.wrong}; {caught.value.right}" == told
