"""What is sealed opens under its key and its name alone, and not at all once a bit of it has changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Fatal
from schemas.sealing import KEY_BYTES, new_key, seal, unseal

KEY = bytes(range(KEY_BYTES))
SHUT = "does not open"


@given(st.binary(max_size=200), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_round_trip(payload: bytes, about: str) -> None:
    sealed = seal(KEY, payload, about)
    assert unseal(KEY, sealed, about) == payload
    assert unseal(KEY, memoryview(sealed), about) == payload
    assert seal(KEY, memoryview(payload), about) != sealed  # a nonce of its own each time


@given(st.binary(max_size=50), st.data())
def test_one_changed_bit_is_noticed(payload: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, payload))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Fatal, match=SHUT):
        unseal(KEY, bytes(sealed))


def test_whatever_is_cut_off_is_noticed() -> None:
    sealed = seal(KEY, b"payload")
    for end in range(len(sealed)):
        with pytest.raises(Fatal, match=SHUT):
            unseal(KEY, sealed[:end])


@given(st.binary(max_size=60))
def test_what_was_never_sealed_is_refused(payload: bytes) -> None:
    with pytest.raises(Fatal, match=SHUT):
        unseal(KEY, payload)


def test_another_key_or_another_name_opens_nothing() -> None:
    sealed = seal(KEY, b"payload", "run/table/1")
    with pytest.raises(Fatal, match=SHUT):
        unseal(new_key(), sealed, "run/table/1")
    with pytest.raises(Fatal, match=SHUT):
        unseal(KEY, sealed, "run/table/2")


def test_nothing_of_the_payload_shows() -> None:
    assert b"planted" not in seal(KEY, b"planted" * 10)
    assert len({new_key() for _ in range(20)}) == 20
    assert len(new_key()) == KEY_BYTES
