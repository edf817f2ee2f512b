"""What stands in a message's headers comes back as it was; a message that is none of ours is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Fatal
from schemas.headers import FINAL, KINDS, Header, decode, encode

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(0, FINAL)
EXTRAS = st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS, max_size=4)
HEADERS = st.builds(
    Header, st.sampled_from(sorted(KINDS)), TEXTS, TEXTS, TEXTS, TEXTS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, EXTRAS
)
ONE = Header("data", "t", "run", "table", "lane/0", 1, 2, 3, 4, {"at": 1.5})


@given(HEADERS)
def test_round_trip(header: Header) -> None:
    pairs = encode(header)
    assert all(isinstance(value, bytes) for _, value in pairs)
    assert decode(pairs) == header
    assert decode([*pairs, ("another", b"one")]) == header  # what somebody adds on the way does no harm


@pytest.mark.parametrize("name", [name for name, _ in encode(ONE)])
def test_a_header_with_a_part_missing_or_empty_is_refused(name: str) -> None:
    pairs = encode(ONE)
    with pytest.raises(Fatal, match="without a batch header"):
        decode([pair for pair in pairs if pair[0] != name])
    with pytest.raises(Fatal, match="without a batch header"):
        decode([(other, None if other == name else value) for other, value in pairs])


@pytest.mark.parametrize("pairs", [None, [], [("kind", b"data")]])
def test_a_message_of_somebody_else_is_refused(pairs: Any) -> None:
    with pytest.raises(Fatal, match="without a batch header"):
        decode(pairs)


@pytest.mark.parametrize(
    ("name", "value"),
    [("kind", b"frob"), ("rows", b"x"), ("epoch", b""), ("task", b"\xff"), ("extra", b"{"), ("extra", b"[]")],
)
def test_a_header_that_says_what_it_cannot_is_refused(name: str, value: bytes) -> None:
    with pytest.raises(Fatal):
        decode([*encode(ONE), (name, value)])


@given(st.lists(st.tuples(st.sampled_from([name for name, _ in encode(ONE)]), st.binary(max_size=12)), max_size=3))
def test_whatever_stands_there_is_a_header_or_refused(changed: list[tuple[str, bytes]]) -> None:
    try:
        found = decode([*encode(ONE), *changed])
    except Fatal:
        return
    assert found.kind in KINDS
    assert isinstance(found.extra, dict)
