"""Tokens join within a run, and tell nothing without its key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import polars as pl

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
Run = Callable[..., pl.Series]


def test_tokens_join_across_tables_and_types_within_a_run_only(run: Run) -> None:
    method = {"method": "tokenize", "columns": ["v"]}
    texts = run("string", ["5", "6", None, ""], **method)
    numbers = run("int64", [5, 6, None], table="another", **method)
    assert texts[:3].to_list() == numbers.to_list()
    assert texts[2] is None
    assert texts.drop_nulls().str.contains("^tok_[0-9a-f]{32}$").all()
    assert not set(texts.drop_nulls()) & set(run("string", ["5", "6", ""], key=OTHER, **method))
    assert not set(texts.drop_nulls()) & set(run("string", ["5", "6", ""], domain="d", **method))


def test_distinct_values_have_distinct_tokens(run: Run) -> None:
    values = [f"user{i}@example.org" for i in range(50_000)]
    assert run("string", values, method="tokenize", columns=["v"]).n_unique() == 50_000


def test_a_dictionary_without_the_key_finds_nothing(run: Run) -> None:
    secret = "ada@example.org"
    token = run("string", [secret], method="tokenize", columns=["v"])[0].removeprefix("tok_")
    guesses = {hashlib.new(name, secret.encode()).hexdigest()[:32] for name in ("md5", "sha1", "sha256", "sha512")}
    guesses |= {
        run("string", [secret], key=bytes([i]) * 32, method="tokenize", columns=["v"])[0].removeprefix("tok_")
        for i in range(64)
    }
    assert token not in guesses


def test_a_whole_dictionary_hashed_in_every_usual_way_finds_no_token(run: Run) -> None:
    """What an attacker without the key can do: hash and MAC every candidate, and look for the tokens."""
    people = [f"user{i}@example.org" for i in range(2_000)]
    method = {"method": "tokenize", "columns": ["v"]}
    released = {token.removeprefix("tok_") for token in run("string", people, **method)}
    shaped = set(run("string", people, format="preserving", **method))
    guessed: set[str] = set()
    for person in people:
        for name in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b"):
            digest = hashlib.new(name, person.encode()).hexdigest()
            guessed |= {digest[:32], digest[-32:]}
        for key in (b"", b"tok_", b"token", b"v", bytes(32)):
            guessed.add(hmac.digest(key, person.encode(), "sha256").hex()[:32])
    for key in (bytes(32), b"\xff" * 32, *(bytes([i]) * 32 for i in range(1, 8))):
        guessed |= {token.removeprefix("tok_") for token in run("string", people, key=key, **method)}
        assert len(shaped & set(run("string", people, key=key, format="preserving", **method))) == 0
    assert not released & guessed
    assert not shaped & set(people)
    assert len(released) == len(shaped) == len(people)
