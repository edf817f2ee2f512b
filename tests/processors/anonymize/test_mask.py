"""Masks against a plain oracle."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

Run = Callable[..., pl.Series]


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
    style = {"form": "email", "length": 4, "keep_domain": True}  # type: ignore[dict-item]  # mixed on purpose
    assert run("string", ["a@b.org", "none"], method="mask", columns={"v": style}).to_list() == ["****@b.org", "****"]
