"""Texts and the values they spell, type by type."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.formats.texts import TextOptions, exact_decimal, read_text
from schemas.task.model import Column


def spelled(kind: Any, texts: list[str | None], **options: Any) -> list[Any]:
    values, _ = read_text(pl.Series(texts, dtype=pl.String), Column(type=kind, scale=2), TextOptions(**options))
    return values.to_list()


REFUSED = {
    "int64": ["1.5", "1e3", "９", "9223372036854775808", "1_0", "0x1", "--1", "x"],
    "float64": ["nan", "inf", "-Infinity", "1e999", "1,5", "1_0", "x"],
    "decimal": ["1.005", "1e-5", "1e99", "1" * 37, ".", "x", "nan"],
    "bool": ["2", "y", "wahr"],
    "date": ["2023-02-29", "2024-2-9", "20240101", "+2024-1-01", "2024-01-01T00:00:00"],
    "timestamp": [
        "2024-01-05T10:20:60",
        "2024-01-05T24:00:00",
        "2024-01-05T10:20:30.1234567",
        "2024-02-30",
        "1704450000",
    ],
    "binary": ["aGk", "*"],
    "json": ["1,2", "[1", "2]", "NaN", "{'a':1}", '"a\nb"'],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_spells_no_value(kind: str) -> None:
    assert spelled(kind, list(REFUSED[kind])) == [None] * len(REFUSED[kind])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-05T10:20:30Z", "2024-01-05T10:20:30+00:00"),
        ("2024-01-05 10:20:30.5", "2024-01-05T10:20:30.500000+00:00"),
        (" 2024-01-05 ", "2024-01-05T00:00:00+00:00"),
        ("2024-01-05T10:20", "2024-01-05T10:20:00+00:00"),
        ("2024-01-05T10:20:30,1234560+02:00", "2024-01-05T08:20:30.123456+00:00"),
        ("2024-01-05T10:20:30-0530", "2024-01-05T15:50:30+00:00"),
        ("2024-01-05 10:20:30 UTC", "2024-01-05T10:20:30+00:00"),
    ],
)
def test_points_in_time(text: str, moment: str) -> None:
    assert [value.isoformat() for value in spelled("timestamp", [text])] == [moment]


def test_a_zone_that_leads_out_of_the_calendar_is_refused() -> None:
    assert spelled("timestamp", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01"]) == [None, None]


def test_declared_formats_and_nan() -> None:
    assert str(spelled("date", ["5.1.2024"], date_formats=("%d.%m.%Y",))[0]) == "2024-01-05"
    told = spelled("timestamp", ["05/01/2024 10:00 +0100"], timestamp_formats=("%d/%m/%Y %H:%M %z",))
    assert told[0].isoformat() == "2024-01-05T09:00:00+00:00"
    assert str(spelled("float64", ["NaN", "-inf", "1e999"], allow_nan=True)) == "[nan, -inf, None]"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**40), max_value=10**40))
def test_decimals_are_exact_or_refused(number: Decimal) -> None:
    fits = number == number.quantize(Decimal("0.01")) if abs(number) < 10**25 else None
    read = spelled("decimal", [str(number)])[0]
    assert read == exact_decimal(str(number), 2)
    if fits is not None:
        assert read == (number if fits else None)
