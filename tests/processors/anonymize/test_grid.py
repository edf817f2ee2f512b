"""Cells of places and networks of addresses."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.geohash import ALPHABET

Run = Callable[..., pl.Series]
WrongFor = Callable[..., list[str]]


def geohash(latitude: float, longitude: float, size: int) -> str:
    """By halving, as it is defined."""
    bounds, values, turn, out = [[-180.0, 180.0], [-90.0, 90.0]], (longitude, latitude), 0, ""
    for _ in range(size):
        letter = 0
        for _ in range(5):
            low, high = bounds[turn]
            middle = (low + high) / 2
            upper = values[turn] >= middle
            bounds[turn] = [middle, high] if upper else [low, middle]
            letter, turn = 2 * letter + upper, 1 - turn
        out += ALPHABET[letter]
    return out


def test_known_places(run: Run) -> None:
    values = ["57.64911, 10.40744", "u4pruydqqvj", "-25.382708;-49.265506", "0,0", "90, 180", "-90 , -180"]
    out = run("string", values, method="generalize", columns={"v": {"geohash": 6}})
    assert out.to_list() == ["u4pruy", "u4pruy", "6gkzwg", "s00000", "zzzzzz", "000000"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.decimals(-90, 90, places=4), st.decimals(-180, 180, places=4)), min_size=1, max_size=5))
def test_cells_equal_halving_and_nest(run: Run, places: list[tuple[float, float]]) -> None:
    texts = [f"{latitude:f},{longitude:f}" for latitude, longitude in places]
    for size in (1, 4, 7, 9):
        out = run("string", texts, method="generalize", columns={"v": {"geohash": size}})
        assert out.to_list() == [geohash(float(one), float(other), size) for one, other in places]


def test_what_is_no_place_has_no_cell(run: Run) -> None:
    values = ["91,0", "0,181", "u4p", "u4pA", "", "x", "1;2;3", "1,2,3", "nan,1", "inf,1", None]
    out = run("string", values, method="generalize", columns={"v": {"geohash": 4}})
    assert out.to_list() == [None] * len(values)


def test_networks_beside_each_other(run: Run) -> None:
    values = ["10.1.2.3", None, "2001:db8:1:2::3", "x", " 10.1.2.3 ", "10.1.2.3"]
    out = run("string", values, method="generalize", columns={"v": {"prefix": 12, "prefix6": 64}})
    everyone = run("string", values, method="generalize", columns={"v": {"prefix": 0, "prefix6": 0}})
    assert everyone.to_list() == ["0.0.0.0/0", None, "::/0", None, "0.0.0.0/0", "0.0.0.0/0"]
    assert out.to_list() == ["10.0.0.0/12", None, "2001:db8:1:2::/64", None, "10.0.0.0/12", "10.0.0.0/12"]


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"geohash": 0}, "columns.v.geohash: 0 does not fit"),
        (
            {"geohash": 4, "keep_first": 4},
            "columns.v: says in no way or in several how values are grouped; give one of",
        ),
    ],
)
def test_cells_that_make_no_sense(wrong: WrongFor, grid: dict[str, int], told: str) -> None:
    (mistake,) = wrong({"v": {"type": "string"}}, {"method": "generalize", "columns": {"v": grid}})
    assert mistake.startswith(f"0.{told}")
