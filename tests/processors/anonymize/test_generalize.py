"""Groups of every kind against a plain oracle, and hierarchies that are none."""

from __future__ import annotations

import datetime as dt
import ipaddress
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import processors.anonymize
from processors.anonymize.generalize import Generalize
from processors.anonymize.protocol import Anonymization
from processors.anonymize.runner import CompiledMethods, embed_files
from processors.wrong_config import ConfigError, MisfitError
from schemas.discovery import discover
from schemas.task.model import Method

METHODS = discover(processors.anonymize, Anonymization)
KEY = bytes(range(32))
Run = Callable[..., pl.Series]
Compiled = Callable[..., CompiledMethods]
WrongFor = Callable[..., list[str]]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))), st.sampled_from([1, 2, 7, 10, 1000]))
def test_steps_of_integers(run: Run, values: list[int | None], step: int) -> None:
    out = run("int64", values, method="generalize", columns={"v": {"step": step}})
    assert out.to_list() == [None if v is None else max(v // step * step, -(2**63)) for v in values]


def test_steps_of_floats_and_decimals(run: Run) -> None:
    values = [0.3, -0.05, 1e300, math.inf, None]
    out = run("float64", values, method="generalize", columns={"v": {"step": 0.1}})
    assert out.to_list()[:2] == [0.3, -0.1] or out.to_list()[:2] == [0.2, -0.1]
    assert out.to_list()[3:] == [math.inf, None]
    assert math.isnan(run("float64", [math.nan], method="generalize", columns={"v": {"step": 5}})[0])
    decimals = [Decimal("1.27"), Decimal("-1.27"), Decimal("0.50"), None]
    out = run("decimal", decimals, method="generalize", columns={"v": {"step": "0.5"}})
    assert out.to_list() == [Decimal("1.00"), Decimal("-1.50"), Decimal("0.50"), None]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("day", dt.date(2024, 5, 17)),
        ("week", dt.date(2024, 5, 13)),
        ("month", dt.date(2024, 5, 1)),
        ("quarter", dt.date(2024, 4, 1)),
        ("year", dt.date(2024, 1, 1)),
        ("decade", dt.date(2020, 1, 1)),
    ],
)
def test_calendar_units(run: Run, unit: str, expected: dt.date) -> None:
    method = {"method": "generalize", "columns": {"v": {"unit": unit}}}
    assert run("date", [dt.date(2024, 5, 17), None], **method).to_list() == [expected, None]
    moment = dt.datetime(2024, 5, 17, 13, 5, 9, tzinfo=dt.UTC)
    midnight = dt.datetime(expected.year, expected.month, expected.day, tzinfo=dt.UTC)
    assert run("timestamp", [moment, None], **method).to_list() == [midnight, None]


def test_networks(run: Run) -> None:
    values = ["192.0.2.200", " 10.0.0.1", "2001:db8:1:2::3", "::ffff:192.0.2.9", "300.1.1.1", "", None]
    out = run("string", values, method="generalize", columns={"v": {"prefix": 16, "prefix6": 32}})
    assert out.to_list() == ["192.0.0.0/16", "10.0.0.0/16", "2001:db8::/32", "192.0.0.0/16", None, None, None]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.ip_addresses(v=4).map(str) | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){2,4}", fullmatch=True)),
    st.integers(0, 32),
)
def test_networks_equal_the_library(run: Run, values: list[str], bits: int) -> None:
    expected = []
    for value in values:
        try:
            expected.append(str(ipaddress.ip_network(f"{value}/{bits}", strict=False)))
        except ValueError:
            expected.append(None)
    assert run("string", values, method="generalize", columns={"v": {"prefix": bits}}).to_list() == expected


TREE = "10;teens;people\n20;twenties;people\n"


def test_a_hierarchy_is_read_at_release(run: Run, wrong: WrongFor) -> None:
    raw = {"columns": {"v": {"hierarchy": "ages.csv", "level": 1}}}
    embedded = Generalize.embed(raw, {"ages.csv": TREE}.__getitem__)
    assert run("int64", [20, 10, 30, None], method="generalize", **embedded).to_list() == [
        "twenties",
        "teens",
        None,
        None,
    ]
    assert "was not read" in wrong({"v": {"type": "int64"}}, {"method": "generalize", **raw})[0]


def test_files_are_read_into_a_released_task_or_told() -> None:
    grids = {"v": {"hierarchy": "ages.csv", "level": 2}, "w": {"step": 1}}
    methods = [Method(method="generalize", columns=grids), Method(method="suppress", columns=["x"])]
    ready = embed_files(methods, METHODS, lambda _: TREE)
    assert ready[1] == methods[1]
    assert ready[0].options["columns"]["v"] == {"rows": [row.split(";") for row in TREE.split()], "level": 2}
    with pytest.raises(ConfigError, match=r"0: names a file that can't be read \(no such file"):
        embed_files(methods, METHODS, lambda name: Path("/nowhere", name).read_text())
    with pytest.raises(ConfigError, match=r"0.columns.v.hierarchy: has a hole"):
        embed_files(methods, METHODS, lambda _: "a;;b\n")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "different lengths"),
        ("a;b\nc\n", "different lengths"),
        ("a;;x\nb;c;x\n", "hole"),
        ("a;b\na;c\n", "leaf twice"),
        ("a;g;x\nb;g;y\n", "two groups"),
    ],
)
def test_a_hierarchy_that_is_no_tree(content: str, told: str) -> None:
    with pytest.raises(MisfitError, match=told):
        Generalize.embed({"columns": {"v": {"hierarchy": "x", "level": 1}}}, lambda _: content)


@pytest.mark.parametrize(
    "method",
    [
        {"method": "generalize", "columns": {"v": {"unit": "week"}}},
        {"method": "generalize", "columns": {"v": {"unit": "decade"}}},
        {"method": "mask", "columns": {"v": {"keep_last": 2}}},
        {"method": "tokenize", "columns": ["v"]},
    ],
)
def test_moments_beyond_the_calendar_are_suppressed(run: Run, method: dict[str, Any]) -> None:
    days = pl.Series([-(2**31), 2**31 - 1, 0, None], dtype=pl.Int32).cast(pl.Date)
    moments = pl.Series([-(2**63), 2**63 - 1, 0, None], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    for kind, values in (("date", days), ("timestamp", moments)):
        assert run(kind, values, **method).is_null().to_list() == [True, True, False, True]


def test_the_edges_of_decimals(run: Run) -> None:
    largest = Decimal("9" * 36 + ".99")
    out = run("decimal", [largest, largest.copy_negate()], method="generalize", columns={"v": {"step": 7}})
    assert out[1] == largest.copy_negate()
    assert 0 <= largest - out[0] < 7


@pytest.mark.parametrize(
    ("kind", "grid", "told"),
    [
        ("int64", {"step": 0}, "positive number"),
        ("int64", {"step": 2.5}, "too fine"),
        ("decimal", {"step": "x"}, "no number"),
        ("int64", {}, "in no way"),
        ("int64", {"step": 1, "keep_first": 1}, "in several"),
        ("date", {"unit": "hour"}, "finer than a date"),
        ("string", {"prefix": 40}, "less than or equal to 32"),
        ("string", {"rows": [["a", "b"]]}, "hierarchy and level"),
        ("string", {"rows": [["a", "b"]], "level": 2}, "levels 1 to 1"),
        ("string", {"keep_first": 1, "prefix6": 8}, "prefix6 without prefix"),
    ],
)
def test_grids_that_make_no_sense(wrong: WrongFor, kind: str, grid: dict[str, Any], told: str) -> None:
    (mistake,) = wrong({"v": {"type": kind}}, {"method": "generalize", "columns": {"v": grid}})
    assert told in mistake
    assert mistake.startswith("0.columns.v")
