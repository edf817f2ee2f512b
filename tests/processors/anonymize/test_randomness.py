"""Keyed functions against their definition, block by block in plain Python, and against statistics."""

from __future__ import annotations

import hashlib
import hmac
import struct

import polars as pl
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.identity import identities
from processors.anonymize.randomness import DIGESTED, LONG, Draw, hexadecimal, macs, subkey, words

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


def block(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data)


def mac(key: bytes, text: str) -> str:
    """CBC-MAC over length and zero-padded text, one value at a time."""
    data, head = text.encode(), len(text.encode())
    if head > LONG:
        data, head = hashlib.sha512(data).hexdigest().encode(), head | DIGESTED
    state = block(key, struct.pack("<QQ", head, 0))
    for i in range(0, len(data), 16):
        part = data[i : i + 16].ljust(16, b"\0")
        state = block(key, bytes(a ^ b for a, b in zip(state, part, strict=True)))
    return state.hex()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=70), st.just("ü" * 400), st.text("\0", max_size=40))))
def test_macs_equal_their_definition(texts: list[str]) -> None:
    digits = hexadecimal(macs(KEY, pl.Series(texts, dtype=pl.String)))
    assert digits.to_list() == [mac(KEY, text) for text in texts]


def test_texts_that_look_alike_differ() -> None:
    long = "x" * 600
    texts = ["", "\0", "\0\0", "a", "a\0", "a" * 16, "a" * 16 + "\0", "a" * 512, "a" * 513, long]
    texts.append(hashlib.sha512(long.encode()).hexdigest())
    assert hexadecimal(macs(KEY, pl.Series(texts))).n_unique() == len(texts)


def test_sliced_and_chunked_columns_give_the_same() -> None:
    whole = pl.Series([f"value {i}" for i in range(100)])
    expected = hexadecimal(macs(KEY, whole))
    assert hexadecimal(macs(KEY, whole[13:57])).to_list() == expected[13:57].to_list()
    chunked = pl.concat([whole[:50], whole[50:]], rechunk=False)
    assert hexadecimal(macs(KEY, chunked)).to_list() == expected.to_list()


def test_words_are_aes_of_the_block() -> None:
    high, low = words(KEY, pl.Series([0, 2**64 - 1], dtype=pl.UInt64), 7)
    for i, value in enumerate((0, 2**64 - 1)):
        assert struct.pack("<QQ", high[i], low[i]) == block(KEY, struct.pack("<QQ", value, 7))


def test_subkeys_are_bound_to_the_whole_list_of_labels() -> None:
    assert subkey(KEY, "a", "bc") == hmac.digest(KEY, b"\0\0\0\1a\0\0\0\2bc", hashlib.sha256)
    keys = {subkey(KEY, *labels) for labels in [("ab",), ("a", "b"), ("", "ab"), ("ab", ""), ()]}
    assert len(keys) == 5
    assert subkey(OTHER, "ab") not in keys
    with pytest.raises(ValueError, match="32 bytes"):
        subkey(b"short", "a")


def test_identities_depend_on_hash_table_and_key() -> None:
    hashes = pl.Series("_h", range(10_000), dtype=pl.UInt64)
    one = identities(hashes, "person", KEY)
    assert one.dtype == pl.Int64
    assert one.n_unique() == 10_000
    assert one.equals(identities(hashes, "person", KEY))
    assert identities(hashes.reverse(), "person", KEY).reverse().equals(one)
    for other in (identities(hashes, "order", KEY), identities(hashes, "person", OTHER)):
        assert not set(one) & set(other)
    assert identities(hashes.clear(), "person", KEY).to_list() == []


def test_uniform_numbers_are_uniform_and_independent() -> None:
    draw = Draw(KEY, "t", pl.Series(range(100_000)))
    first, second = draw.uniform("p", "c")
    assert 0 < first.min() < first.max() < 1  # type: ignore[operator]  # polars types every aggregate alike
    assert abs(first.mean() - 0.5) < 0.005  # type: ignore[operator]
    assert abs(first.std() - 12**-0.5) < 0.005  # type: ignore[operator]
    frame = pl.DataFrame({"a": first, "b": second, "c": draw.uniform("p", "d")[0], "d": draw.uniform("p", "c", 1)[0]})
    counts = (frame["a"] * 16).cast(pl.Int64).value_counts()["count"]
    assert sum((n - 6250) ** 2 / 6250 for n in counts) < 45  # chi-square with 15 degrees, p about 1e-4
    for other in "bcd":
        assert abs(frame.select(pl.corr("a", other)).item()) < 0.015
