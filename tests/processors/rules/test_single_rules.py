"""What each rule does at its edges, beyond its own examples."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import processors.rules
from processors.outcome import Outcome
from processors.rules.correct import Correct
from processors.rules.phone import PLANS
from processors.rules.protocol import Rule
from processors.rules.runner import compile_rules, embed_files
from processors.wrong_config import ConfigError, MisfitError
from schemas.columns import polars_type
from schemas.discovery import discover
from schemas.task.model import Column

RULES = discover(processors.rules, Rule)
UTC = dt.UTC


def run(column: dict[str, Any], *values: Any) -> Outcome:
    declared = Column.model_validate(column)
    series = pl.Series(values, dtype=polars_type(declared.type, declared.scale))
    return compile_rules({"v": declared}, RULES).apply(pl.DataFrame({"v": series}))


def kept(column: dict[str, Any], *values: Any) -> list[Any]:
    return run(column, *values).kept["v"].to_list()


def wrong(column: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        compile_rules({"v": Column.model_validate(column)}, RULES)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "low", "high", "values", "clamped"),
    [
        ("decimal", 0, "9.5", ["-0.1", "9.5", "9.6"], [Decimal(0), Decimal("9.5"), Decimal("9.5")]),
        ("date", "2024-01-01", None, [dt.date(2023, 1, 1), dt.date(2024, 1, 1)], [dt.date(2024, 1, 1)] * 2),
        (
            "timestamp",
            None,
            dt.date(2024, 1, 1),
            [dt.datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC)],
            [dt.datetime(2024, 1, 1, tzinfo=UTC)],
        ),
        ("decimal", None, "9" * 29, ["9" * 29, "1" + "0" * 28], [Decimal("9" * 29), Decimal("1" + "0" * 28)]),
        ("int64", -(2**63), 2**63 - 1, [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
    ],
)
def test_range_of_every_type(kind: str, low: Any, high: Any, values: list[Any], clamped: list[Any]) -> None:
    if kind == "decimal":
        values = [Decimal(value) for value in values]
    column = {"type": kind, "range": {"min": low, "max": high, "outside": "clamp"}}
    assert kept(column, *values, None) == [*clamped, None]
    column["range"]["outside"] = "drop"  # type: ignore[index]
    same = [value for value, new in zip(values, clamped, strict=True) if value == new]
    assert kept(column, *values, None) == [*same, None]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ({"type": "int64", "range": {"min": 1.5, "outside": "drop"}}, "whole number"),
        ({"type": "int64", "range": {"max": 2**63, "outside": "drop"}}, "64 bits"),
        ({"type": "int64", "range": {"outside": "drop"}}, "has no bound"),
        ({"type": "int64", "range": {"min": 0, "outside": "ignore"}}, "'drop' or 'clamp'"),
        ({"type": "float64", "range": {"min": float("nan"), "outside": "drop"}}, "not finite"),
        ({"type": "decimal", "scale": 2, "range": {"min": 0.125, "outside": "clamp"}}, "2 decimal places"),
        ({"type": "date", "range": {"min": "soon", "outside": "drop"}}, "not a date"),
        ({"type": "bool", "empty": {"replace": "yes"}}, "neither true nor false"),
        ({"type": "string", "empty": {"replace": " "}}, "what is empty"),
        ({"type": "string", "normalize": []}, "at least 1"),
        ({"type": "string", "normalize": ["trimm"]}, "trimm"),
        ({"type": "string", "normalize": [{"phone": {"country": "XX"}}]}, "names no country"),
        ({"type": "string", "normalize": [{"phone": {}}]}, "country: is missing"),
        ({"type": "string", "normalize": [{"date": {"from": ["%d.%m."]}}]}, "without day, month or year"),
        ({"type": "string", "normalize": [{"date": {"from": ["%d.%m.%Y %H"]}}]}, "not one of dates"),
        ({"type": "string", "normalize": [{"date": {"from": ["%d.%m.%Y%"]}}]}, "not one of dates"),
        ({"type": "string", "normalize": [{"date": {"from": ["%F"], "to": "%Q"}}]}, "not one of dates"),
        ({"type": "string", "pattern": {"matches": "(", "otherwise": "drop"}}, "no regular expression"),
        ({"type": "string", "pattern": {"matches": "a"}}, "otherwise: is missing"),
        ({"type": "string", "replace": {"matches": "(", "with": ""}}, "no regular expression"),
        ({"type": "string", "correct": {"map": {"a": "b"}, "file": "x"}}, "either map or file"),
        ({"type": "string", "correct": {"file": "x"}}, "was not read"),
        ({"type": "int64", "correct": {"map": {"1": 2, "01": 3}}}, "twice"),
        ({"type": "string", "length": {"min": 3, "otherwise": "cut"}}, "cut needs max"),
        ({"type": "decimal", "scale": 2, "round": 2}, "at most 1"),
    ],
)
def test_mistakes(column: dict[str, Any], told: str) -> None:
    assert told in wrong(column)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0151 2345678", "+491512345678"),
        ("+49 (0)30 1234-567", "+49301234567"),
        ("tel: 030/1234567", "+49301234567"),
        ("00 1 212 555 0100", "+12125550100"),
        ("123", "123"),
        ("call me", "call me"),
        ("0000000000", "0000000000"),
        ("+1234567890123456", "+1234567890123456"),
        ("", ""),
    ],
)
def test_phones(given: str, expected: str) -> None:
    assert kept({"type": "string", "normalize": [{"phone": {"country": "DE"}}]}, given) == [expected]


@pytest.mark.parametrize(
    ("country", "given", "expected"),
    [
        ("US", "1-212-555-0100", "+12125550100"),
        ("US", "(212) 555-0100", "+12125550100"),
        ("US", "011 49 30 123456", "+4930123456"),
        ("RU", "8 (495) 123-45-67", "+74951234567"),
        ("IT", "06 1234567", "+39061234567"),
        ("HU", "06 1 234 5678", "+3612345678"),
        ("+41", "044 668 18 00", "+41446681800"),
    ],
)
def test_phones_of_other_countries(country: str, given: str, expected: str) -> None:
    assert kept({"type": "string", "normalize": [{"phone": {"country": country}}]}, given) == [expected]


def test_every_plan_is_a_calling_code() -> None:
    assert all(plan.code.isdigit() and 1 <= len(plan.code) <= 3 for plan in PLANS.values())


def test_normalising_twice_changes_nothing_more() -> None:
    column = {
        "type": "string",
        "normalize": [
            "nfkc",
            "strip_accents",
            "collapse",
            "trim",
            "lower",
            {"email": {}},
            {"phone": {"country": "FR"}},
        ],
    }
    once = kept(column, " É\u0301A  b\u3000", "01 23 45 67 89", "X@Y.Z", "ﬁ", None)
    assert kept(column, *once) == once
    assert once == ["ea b", "+33123456789", "x@y.z", "fi", None]


def test_strict_forms_let_empty_values_pass() -> None:
    column = {"type": "string", "normalize": [{"phone": {"country": "DE", "strict": True}}]}
    outcome = run(column, None, " ", "x")
    assert (outcome.kept.height, outcome.rejected.height) == (2, 1)


def test_a_date_that_does_not_exist_is_rejected_when_strict() -> None:
    column = {"type": "string", "normalize": [{"date": {"from": ["%d.%m.%Y"], "strict": True}}]}
    outcome = run(column, "31.02.2024", "29.02.2024")
    assert outcome.kept["v"].to_list() == ["2024-02-29"]
    assert outcome.rejected["v"].to_list() == ["31.02.2024"]


def test_a_pattern_matches_the_whole_text_only() -> None:
    column = {"type": "string", "pattern": {"matches": "a|b", "otherwise": "drop"}}
    assert kept(column, "a", "b", "ab", "a\n", "xa", "") == ["a", "b"]


@pytest.mark.parametrize(("strategy", "expected", "dropped", "rejected"), [
    ("keep", ["x", "z", None], 0, 0),
    ("drop", ["x", None], 1, 0),
    ("reject", ["x", None], 0, 1),
    ({"replace": "-"}, ["x", "-", None], 0, 0),
])  # fmt: skip
def test_correct_and_what_it_does_not_know(strategy: Any, expected: list[Any], dropped: int, rejected: int) -> None:
    outcome = run({"type": "string", "correct": {"map": {"y": "x"}, "otherwise": strategy}}, "y", "z", None)
    assert outcome.kept["v"].to_list() == expected
    assert sum(outcome.dropped.values()) == dropped
    assert outcome.rejected.height == rejected


@pytest.mark.parametrize(
    ("kind", "mapping", "values", "expected"),
    [
        ("bool", {True: False}, [True, False, None], [False, False, None]),
        ("int64", {-1: 0}, [-1, 2], [0, 2]),
        ("decimal", {1.5: 2}, [Decimal("1.5"), Decimal("1.6")], [Decimal(2), Decimal("1.6")]),
        ("date", {dt.date(1900, 1, 1): "2000-01-01"}, [dt.date(1900, 1, 1)], [dt.date(2000, 1, 1)]),
    ],
)
def test_correct_of_every_type(kind: str, mapping: Any, values: list[Any], expected: list[Any]) -> None:
    assert kept({"type": kind, "correct": {"map": mapping}}, *values) == expected


def test_correct_reads_its_file_before_it_is_compiled() -> None:
    embedded = Correct.embed(
        {"file": "cities.csv", "otherwise": "keep"}, {"cities.csv": "wrong,right\nA,B\n"}.__getitem__
    )
    assert embedded == {"map": {"A": "B"}, "otherwise": "keep"}
    numbers = Correct.embed({"file": "n.csv"}, lambda _: "wrong,right\n1,2\n")
    assert kept({"type": "int64", "correct": numbers}, 1, 3) == [2, 3]
    for content in ("", "wrong,right\n", "a,b\n1,2,3\n", "a,b\n1,2\n1,3\n"):
        with pytest.raises(MisfitError):
            Correct.embed({"file": "x"}, lambda _, content=content: content)


def test_files_are_read_into_a_released_task_or_told() -> None:
    column = Column.model_validate({"type": "string", "correct": {"file": "c.csv"}, "empty": "drop"})
    ready = embed_files({"v": column}, RULES, lambda _: "wrong,right\na,b\n")
    assert ready["v"].rules == {"correct": {"map": {"a": "b"}}, "empty": "drop"}
    assert list(ready["v"].rules) == ["correct", "empty"]
    with pytest.raises(ConfigError, match=r"v.correct: names a file that can't be read \(no such file"):
        embed_files({"v": column}, RULES, lambda name: Path("/nowhere", name).read_text())
    with pytest.raises(ConfigError, match=r"v.correct: names a file that is no mapping"):
        embed_files({"v": column}, RULES, lambda _: "")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("string", [None, "", " ", "\u2003"]),
        ("json", [None, "", "null"]),
        ("binary", [None, b""]),
        ("bool", [None]),
        ("date", [None]),
    ],
)
def test_what_is_empty(kind: str, values: list[Any]) -> None:
    assert run({"type": kind, "empty": "drop"}, *values).dropped == {"v.empty": len(values)}


def test_what_is_not_empty() -> None:
    assert len(kept({"type": "float64", "empty": "drop"}, 0.0, float("nan"))) == 2
    assert kept({"type": "bool", "empty": "drop"}, False) == [False]
    assert kept({"type": "json", "empty": "drop"}, '""', "{}") == ['""', "{}"]


def test_replacements_in_json_and_binary() -> None:
    assert kept({"type": "json", "empty": {"replace": {"a": 1}}}, None) == ['{"a":1}']
    assert kept({"type": "binary", "empty": {"replace": "aGk="}}, None) == [b"hi"]


def test_rounding_of_decimals() -> None:
    column = {"type": "decimal", "scale": 3, "round": 2}
    largest = Decimal("9" * 35 + ".999")
    assert kept(column, largest) == [largest]
    assert kept(column, Decimal("1.005"), Decimal("-1.005")) == [Decimal("1.010"), Decimal("-1.010")]


def test_binary_values_are_cut_by_bytes() -> None:
    assert kept({"type": "binary", "length": {"max": 2, "otherwise": "cut"}}, b"abc", None) == [b"ab", None]
