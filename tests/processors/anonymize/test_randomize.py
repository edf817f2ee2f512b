"""Categories change with the chances that were declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.randomize import Chances
from processors.anonymize.runner import CompiledMethods

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
Run = Callable[..., pl.Series]
Compiled = Callable[..., CompiledMethods]
WrongFor = Callable[..., list[str]]
SHARES = {"a": 0.6, "b": 0.3, "c": 0.1}
KEEPS = {  # keeps SHARES, by detailed balance
    "a": {"a": 0.9, "b": 0.1},
    "b": {"a": 0.2, "b": 0.7, "c": 0.1},
    "c": {"b": 0.3, "c": 0.7},
}


def randomize(**chances: Any) -> dict[str, Any]:
    return {"method": "randomize", "columns": {"v": chances}}


def near(found: float, expected: float, count: int) -> bool:
    """Within five deviations."""
    return abs(found - expected) <= 5 * (expected * (1 - expected) / count) ** 0.5


@pytest.mark.parametrize("chances", [{"retain": 0.4, "shares": SHARES}, {"matrix": KEEPS, "shares": SHARES}])
def test_declared_shares_are_kept_in_expectation(run: Run, chances: dict[str, Any]) -> None:
    values = [name for name, share in SHARES.items() for _ in range(int(40_000 * share))]
    out = run("string", values, **randomize(**chances))
    for name, share in SHARES.items():
        assert near((out == name).mean(), share, 40_000)  # type: ignore[arg-type]
    assert (out != pl.Series(values)).mean() > 0.1  # type: ignore[operator]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=3, max_size=3))
def test_every_cell_of_a_matrix_is_met(run: Run, weights: list[list[int]]) -> None:
    matrix = {}
    for i, row in enumerate(weights):
        row[(i + 1) % 3] += 1
        matrix[str(i)] = {str(j): weight / sum(row) for j, weight in enumerate(row)}
    for i in range(3):
        out = run("int64", [i] * 2_000, **randomize(matrix=matrix))
        for j in range(3):
            assert near((out == j).mean(), matrix[str(i)][str(j)], 2_000)  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 9), min_size=2, max_size=5), st.floats(0, 0.99))
def test_the_table_of_retain_keeps_its_shares(weights: dict[str, int], retain: float) -> None:
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    table = Chances(retain=retain, shares=shares).table
    for j, share in enumerate(shares.values()):
        assert sum(p * table[i, j] for i, p in enumerate(shares.values())) == pytest.approx(share)


def test_what_is_drawn_belongs_to_the_record(compiled: Compiled) -> None:
    method = randomize(retain=0.5, categories=["a", "b"])
    frame = pl.DataFrame({"v": ["a"] * 200, "_id": range(200)})
    methods = compiled({"v": {"type": "string"}}, method)
    out = methods.apply(frame, KEY, window=True)
    assert methods.apply(frame[50:60], KEY, window=False).equals(out[50:60])
    assert not out.equals(methods.apply(frame, OTHER, window=True))


def test_values_of_every_type_and_those_that_are_no_category(run: Run) -> None:
    out = run("bool", [True] * 100 + [None], **randomize(retain=0, categories=["true", "false"]))
    assert set(out) == {True, False, None}
    assert run("int64", [3], **randomize(retain=0, categories=["1", "2"])).to_list() == [None]
    assert run("string", ["", "A"], **randomize(retain=0, categories=["a", "b"])).to_list() == [None, None]


@pytest.mark.parametrize(
    ("kind", "chances", "told"),
    [
        ("string", {}, "columns.v: says neither or both of retain and matrix"),
        ("string", {"retain": 0.5}, "columns.v: says neither or both of categories and shares"),
        ("string", {"retain": 1, "categories": ["a", "b"]}, "columns.v.retain: 1 does not fit"),
        ("string", {"retain": 0, "categories": ["a", "a"]}, "columns.v.categories: has a category twice"),
        ("string", {"retain": 0, "shares": {"a": 0.5, "b": 0.4}}, "columns.v.shares: has chances that add up to 0.9"),
        ("string", {"retain": 0, "shares": {"a": 1.5, "b": -0.5}}, "columns.v.shares.a: 1.5 is no chance"),
        ("string", {"matrix": {"a": {"b": 1}, "b": {"c": 1}}}, "columns.v.matrix.b: c has no row of its own"),
        ("string", {"matrix": {"a": {"a": 1}, "b": {"a": 1}}}, "columns.v.matrix.a: a never changes"),
        ("string", {"matrix": KEEPS, "categories": ["a", "b"]}, "columns.v.categories: has categories beside"),
        ("string", {"matrix": KEEPS, "shares": {"a": 0.5, "b": 0.5}}, "columns.v.shares: has other categories"),
        (
            "string",
            {"matrix": {"a": {"a": 0.5, "b": 0.5}, "b": {"a": 1}}, "shares": {"a": 0.5, "b": 0.5}},
            "columns.v.matrix: does not keep the shares: a would go from 0.5 to 0.75",
        ),
        ("int64", {"retain": 0, "categories": ["1", "x"]}, "columns.v: x is no value of type int64"),
        ("date", {"retain": 0, "categories": ["1", "x"]}, "columns.v: v is of type date"),
    ],
)
def test_chances_that_make_no_sense(wrong: WrongFor, kind: str, chances: dict[str, Any], told: str) -> None:
    (mistake,) = wrong({"v": {"type": kind}}, randomize(**chances))
    assert mistake.startswith(f"0.{told}")
