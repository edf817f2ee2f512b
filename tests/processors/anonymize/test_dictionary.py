"""An attacker who has every value that went in and everything that came out, but no key.

Of people whose values occur equally often nobody is found more often than by chance; how often a value occurs is what
such methods keep, and it is all that they tell.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from processors.anonymize.invented import pool

KEY = bytes(range(100, 132))
WRONG = (bytes(32), b"\xff" * 32, bytes(range(32)), b"replace" + bytes(25))
LUCK = 12  # of a thousand guesses one is right in expectation; more than these are with a chance of 10^-10
Run = Callable[..., pl.Series]
METHODS: dict[str, dict[str, Any]] = {
    "token": {"method": "tokenize", "columns": ["v"]},
    "form": {"method": "tokenize", "columns": ["v"], "format": "preserving"},
    "first name": {"method": "replace_realistic", "columns": {"v": {"kind": "first_name"}}},
    "distinct e-mail": {"method": "replace_realistic", "columns": {"v": {"kind": "email", "distinct": True}}},
}


def people(count: int = 1_000) -> list[str]:
    """Addresses of one form, so that the form tells nobody apart; many share a beginning or an end."""
    draw = random.Random(6)
    found: set[str] = set()
    while len(found) < count:
        first, last = ("".join(draw.choices(string.ascii_lowercase[:9], k=size)) for size in (4, 6))
        found.add(f"{first}.{last}{draw.randrange(10)}@mail.example")
    return draw.sample(sorted(found), count)


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = METHODS[request.param]
    return found


def attacks(run: Run, method: dict[str, Any], known: list[str], published: list[str]) -> Iterator[Mapping[str, str]]:
    """What is published: who is guessed behind it."""
    for key in WRONG:  # the method itself is public
        yield dict(zip(run("string", known, key=key, **method), known, strict=True))
    yield dict(zip(sorted(published), sorted(known), strict=False))
    yield dict(zip(sorted(published, key=reverse), sorted(known, key=reverse), strict=False))
    yield dict(zip(published, alike(known, published), strict=True))
    for digest in (sha, mac):
        codes = {person: digest(person) for person in known}
        yield dict(zip(sorted(published), sorted(known, key=codes.__getitem__), strict=False))
        yield {form(code): person for person, code in codes.items() for form in (str, "tok_{}".format)}
        if "kind" in str(method):
            entries = pool(method["columns"]["v"]["kind"], "en_US")
            yield {entries[int(code, 16) % len(entries)]: person for person, code in codes.items()}


def reverse(text: str) -> str:
    return text[::-1]


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def mac(text: str) -> str:
    return hmac.digest(bytes(32), text.encode(), "sha256").hex()[:32]


def alike(known: Sequence[str], published: Sequence[str]) -> list[str]:
    """Of each the known one that has the most of its characters in the same places."""
    width = max(map(len, [*known, *published]))
    own, shown = (
        np.array([text.ljust(width).encode("ascii", "replace")[:width] for text in texts]).view("u1").reshape(-1, width)
        for texts in (known, published)
    )
    same = sum((shown[:, i, None] == own[None, :, i]).astype(np.uint8) for i in range(width))
    return [known[place] for place in np.asarray(same).argmax(axis=1)]


def found(guessed: Mapping[str, str], published: Sequence[str], truth: Sequence[str]) -> int:
    return sum(guessed.get(shown) == person for shown, person in zip(published, truth, strict=True))


def test_nobody_is_found_more_often_than_by_chance(run: Run, method: dict[str, Any]) -> None:
    known = people()
    truth = random.Random(1).sample(known, len(known))
    published = run("string", truth, key=KEY, **method).to_list()
    assert not set(published) & set(known)
    hits = [found(guessed, published, truth) for guessed in attacks(run, method, known, published)]
    assert len(hits) > 8
    assert max(hits) <= LUCK


def test_these_attacks_find_everybody_where_there_is_no_secret(run: Run, method: dict[str, Any]) -> None:
    """With the key for one of the wrong ones, and of values that are left as they are."""
    known = people(300)
    published = run("string", known, key=WRONG[0], **method).to_list()
    assert max(found(guessed, published, known) for guessed in attacks(run, method, known, published)) > 150
    hits = [found(guessed, known, known) for guessed in attacks(run, method, known, known)]
    assert sorted(hits)[-3:] == [300, 300, 300]  # by order, by order from the end, by likeness


def test_how_often_a_value_occurs_is_all_that_it_tells(run: Run, method: dict[str, Any]) -> None:
    known = people(600)
    often = known[:5]
    truth = [*known, *(person for i, person in enumerate(often) for _ in range(40 * (i + 2)))]
    random.Random(2).shuffle(truth)
    published = run("string", truth, key=KEY, **method).to_list()
    in_order = [sorted(counts, key=lambda one: (-counts[one], one)) for counts in (Counter(published), Counter(truth))]
    guessed = dict(zip(*in_order, strict=False))
    assert all(guessed[shown] == person for shown, person in zip(published, truth, strict=True) if person in often)
    others = [(shown, person) for shown, person in zip(published, truth, strict=True) if person not in often]
    assert sum(guessed.get(shown) == person for shown, person in others) <= LUCK
