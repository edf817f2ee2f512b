from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.privacy.certificates.canonical import canonical

DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENTS)
def test_it_is_json_that_says_the_same(document: Any) -> None:
    try:
        written = canonical(document)
    except UnicodeEncodeError:
        return
    assert json.loads(written) == document
    assert canonical(json.loads(written)) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(number: float) -> None:
    assert float(canonical(number)) == number


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (1.0, "1"), (-1.5, "-1.5"), (1e21, "1e+21"), (1e20, "100000000000000000000"),
        (1e-6, "0.000001"), (1e-7, "1e-7"), (123e-9, "1.23e-7"), (5e-324, "5e-324"), (1.7976931348623157e308,
        "1.7976931348623157e+308"), (333333333.3333333, "333333333.3333333"), (0.1, "0.1"), (120.0, "120"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_ecmascript_writes_them(number: float, text: str) -> None:
    assert canonical(number).decode() == text


def test_members_stand_in_the_order_of_utf_16() -> None:
    names = {
        "\N{EURO SIGN}": 1,
        "\r": 2,
        "\N{HEBREW LETTER DALET WITH DAGESH}": 3,
        "1": 4,
        "\N{GRINNING FACE}": 5,
        "\x80": 6,
    }
    assert list(json.loads(canonical(names)).values()) == [2, 4, 6, 1, 5, 3]


def test_strings_escape_what_they_must() -> None:
    assert canonical('\x0f\n"\\/\x7fé').decode() == '"\\u000f\\n\\"\\\\/\x7fé"'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "\ud800", {1, 2}, b"x"])
def test_what_has_no_exact_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # every one of them, whatever its words
        canonical(value)
