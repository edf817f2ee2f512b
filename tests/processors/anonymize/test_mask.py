"""Masks against a plain oracle."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

Run = Callable[..., pl.Series]
WrongFor = Callable[..., list[str]]


def masked(value: str | None, keep_first: int, keep_last: int) -> str | None:
    if value is None:
        return None
    kept = keep_first + keep_last
    if not kept or len(value) < 2 * kept:
        return "*" * 10
    return value[:keep_first] + "*" * (10 - kept) + value[len(value) - keep_last :]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=12)), max_size=8), st.integers(0, 3), st.integers(0, 3))
def test_mask_equals_the_oracle(run: Run, values: list[str | None], keep_first: int, keep_last: int) -> None:
    style = {"keep_first": keep_first, "keep_last": keep_last}
    out = run("string", values, method="mask", columns={"v": style})
    assert out.to_list() == [masked(value, keep_first, keep_last) for value in values]


def test_a_mask_of_the_same_length(run: Run) -> None:
    style = {"keep_last": 1, "length": "same", "char": "$"}
    assert run("string", ["äbc\n", "a", "", None], method="mask", columns={"v": style}).to_list() == [
        "$$$\n",
        "$",
        "",
        None,
    ]


def test_mask_of_an_address_hides_its_domain_unless_asked(run: Run) -> None:
    style = {"form": "email", "length": 4}
    assert run("string", ["a@b.org", "x@y@z"], method="mask", columns={"v": style}).to_list() == ["****@***"] * 2
    style = {"form": "email", "length": 4, "keep_domain": True}
    values = ["a@b.org", "none", "x@y@b.org", "@", "", None]
    shown = ["****@b.org", "****", "****@b.org", "****@", "****", None]
    assert run("string", values, method="mask", columns={"v": style}).to_list() == shown
    style["keep_first"] = 1
    shown = ["****@b.org", "n***", "x***@b.org", "****@", "****", None]
    assert run("string", values, method="mask", columns={"v": style}).to_list() == shown


CODES = ("1", "7", "49", "44", "358", "420", "886")
digits = st.text("0123456789", min_size=6, max_size=11)
between = st.sampled_from(["", " ", "-", "/", ".", " (", ") "])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CODES), st.sampled_from(["+", "00", ""]), digits, between, st.integers(0, 3))
def test_a_phone_number_is_masked_however_it_is_written(
    run: Run, code: str, sign: str, rest: str, separator: str, last: int
) -> None:
    written = f"{sign}{code}{separator}{rest[:3]}{separator}{rest[3:]}"
    style = {"form": "phone", "keep_last": last, "length": 8}
    hidden = "*" * (8 - last) + rest[len(rest) - last :]
    assert run("string", [written], method="mask", columns={"v": style})[0] == hidden
    style = {**style, "keep_country": True}
    out = run("string", [written], method="mask", columns={"v": style})[0]
    if sign:
        assert out == f"+{code} {hidden}"
    else:
        assert out == hidden


def test_a_country_in_front_of_a_phone_number_however_it_is_dialled(run: Run) -> None:
    values = [
        "+0049 30 1234567",
        "0049301234567",
        "+1 (212) 555-0100",
        "00420/123.456",
        "0301234567",
        "+493",
        "+49x301",
    ]
    style = {"form": "phone", "keep_country": True, "keep_last": 2, "length": 6}
    shown = ["+49 ****67", "+49 ****67", "+1 ****00", "+420 ****56", "****67", "******", "******"]
    assert run("string", [*values, "", None], method="mask", columns={"v": style}).to_list() == [*shown, "******", None]
    style |= {"keep_first": 2, "length": "same"}
    shown = ["+49 30*****67", "+49 30*****67", "+1 21******00", "*" * 13, "03******67", "****", "*******"]
    assert run("string", values, method="mask", columns={"v": style}).to_list() == shown


@settings(max_examples=60, deadline=None)
@given(st.text("0123456789", min_size=10, max_size=20), st.integers(0, 4), st.integers(0, 5), st.booleans())
def test_a_card_shows_its_check_digit_only_if_asked(run: Run, number: str, first: int, last: int, check: bool) -> None:
    style = {"form": "card", "keep_first": first, "keep_last": last, "length": 12, "keep_check": check}
    out = run("string", [f"{number[:4]} {number[4:]}"], method="mask", columns={"v": style})[0]
    shown = number[len(number) - last :] if last else ""
    if shown and not check:
        shown = shown[:-1] + "*"
    if not 12 <= len(number) <= 19 or len(number) < 2 * (first + last):
        assert out == "*" * 12
    else:
        assert out == number[:first] + "*" * (12 - first - last) + shown


def test_an_account_keeps_nothing_unasked(run: Run) -> None:
    values = ["DE89 3704 0044 0532 0130 00", "gb82west12345698765432", "DE89", "12 34", "", None]
    for style, shown in (
        ({}, ["**********"] * 2),
        ({"keep_country": True}, ["DE********", "GB********"]),
        ({"keep_check": True}, ["**89******", "**82******"]),
        ({"keep_last": 2, "length": 12}, ["**********00", "**********32"]),
        ({"keep_first": 4, "length": 9}, ["****3704*", "****WEST*"]),
    ):
        out = run("string", values, method="mask", columns={"v": {"form": "iban", **style}}).to_list()
        assert out == [*shown, *["*" * int(str(style.get("length", 10)))] * 3, None]


def test_an_expression_hides_what_it_matches(run: Run) -> None:
    style = {"form": "pattern", "pattern": r"(?i)\bpat-[0-9]+", "length": 3, "char": "$"}
    out = run("string", ["PAT-12 and pat-1234567", "pat", None], method="mask", columns={"v": style})
    assert out.to_list() == ["$$$ and $$$", "pat", None]


@pytest.mark.parametrize(
    ("style", "told"),
    [
        ({"keep_country": True}, "columns.v.keep_country: keeps the country of a value without one; write form: phone"),
        ({"form": "phone", "keep_check": True}, "columns.v.keep_check: keeps check digits of what has none"),
        ({"form": "card", "keep_first": 6, "keep_last": 4, "length": 16}, "more than half of any card; keep at most 9"),
        ({"form": "iban", "length": 4}, "columns.v.length: has a length that leaves nothing to hide; give a length a"),
        ({"length": 0}, "columns.v.length: has a length that leaves nothing"),
        ({"form": "pattern"}, "columns.v.pattern: needs pattern and form: pattern together"),
        ({"pattern": "x"}, "columns.v.pattern: needs pattern and form: pattern together"),
        ({"form": "pattern", "pattern": "("}, "columns.v.pattern: is no regular expression"),
        ({"form": "pattern", "pattern": "[0-9]*"}, "columns.v.pattern: matches the empty text; say what there has to"),
        ({"form": "pattern", "pattern": "x", "keep_last": 1}, "columns.v: keeps a part of a match"),
    ],
)
def test_masks_that_make_no_sense(wrong: WrongFor, style: dict[str, object], told: str) -> None:
    (mistake,) = wrong({"v": {"type": "string"}}, {"method": "mask", "columns": {"v": style}})
    assert told in mistake
