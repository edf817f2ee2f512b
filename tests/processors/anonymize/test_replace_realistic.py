"""Invented values: equal stays equal within a run, and nothing but the key tells what they stand for."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from processors.anonymize.invented import KINDS, pool
from processors.anonymize.replace_realistic import ADDED

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
Run = Callable[..., pl.Series]
WrongFor = Callable[..., list[str]]


def replace(**options: Any) -> dict[str, Any]:
    return {"method": "replace_realistic", "columns": {"v": options}}


def test_equal_stays_equal_within_a_run_wherever_it_stands(run: Run) -> None:
    values = ["Ada", "Ben", None, "Ada", ""]
    out = run("string", values, **replace(kind="first_name"))
    assert out[0] == out[3] != out[1]
    assert out[2] is None
    assert out.is_in(pool("first_name", "en_US").implode()).sum() == 4
    assert out.equals(run("string", values, table="another", **replace(kind="first_name")))
    assert run("int64", [5], **replace(kind="city")).equals(run("string", ["5"], **replace(kind="city")))
    people = [f"person {i}" for i in range(500)]
    one = run("string", people, **replace(kind="first_name"))
    for other in (
        run("string", people, key=OTHER, **replace(kind="first_name")),
        run("string", people, domain="d", **replace(kind="first_name")),
    ):
        assert (one == other).sum() < 20


def test_entries_are_chosen_alike(run: Run) -> None:
    entries = len(pool("country", "en_US"))
    out = run("string", [str(i) for i in range(40 * entries)], **replace(kind="country"))
    counts = out.value_counts()["count"]
    assert len(counts) == entries
    deviation = sum((n - 40) ** 2 / 40 for n in counts)
    assert abs(deviation - entries) < 5 * (2 * entries) ** 0.5


def test_distinct_values_have_distinct_replacements_on_demand(run: Run) -> None:
    values = [f"user{i}" for i in range(6_000)]
    assert run("string", values, **replace(kind="email")).n_unique() < 6_000
    out = run("string", values, **replace(kind="email", distinct=True))
    assert out.n_unique() == 6_000
    assert out.str.contains(r"^[^@ ]+\.[0-9a-f]{24}@example\.(org|com|net)$").all()
    assert re.fullmatch(r".+ [0-9a-f]{24}", run("string", ["x"], **replace(kind="city", distinct=True))[0])


def test_pools_are_the_same_everywhere_and_touch_no_other_generator() -> None:
    random.seed(5)
    before = random.getstate()
    first = pool.__wrapped__("last_name", "de_DE")
    assert random.getstate() == before
    assert first.equals(pool("last_name", "de_DE"))
    assert first.n_unique() == len(first) > 300
    assert not pool("address", "de_DE").str.contains("\n").any()


def test_accounts_are_sound(run: Run) -> None:
    for account in run("string", [str(i) for i in range(20)], **replace(kind="iban", locale="de_DE")):
        assert int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97 == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kind": "poem"}, "columns.v.kind: 'poem' does not fit"),
        ({"kind": "name", "locale": "xx_XX"}, "columns.v.locale: xx_XX is no known locale; known are a"),
        ({"kind": "phone", "distinct": True}, "columns.v.distinct: phone has too few values to be distinct; leave"),
    ],
)
def test_replacements_that_make_no_sense(wrong: WrongFor, options: dict[str, Any], told: str) -> None:
    (mistake,) = wrong({"v": {"type": "string"}}, replace(**options))
    assert mistake.startswith(f"0.{told}")
    assert KINDS.keys() > ADDED
