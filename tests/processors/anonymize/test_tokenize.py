"""Tokens join within a run, and tell nothing without its key."""

from __future__ import annotations

import hashlib
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
