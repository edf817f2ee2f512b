"""Texts as numbers and back: equal to plain Python, in any order and beside any others."""

from __future__ import annotations

import string
from math import prod

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.shapes import SMALLEST, Numbers
from processors.anonymize.units import UNIT, Room, Texts, Units, Written

CLASSES = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
texts_of_all_lengths = st.lists(
    st.one_of(
        st.text(string.ascii_letters + string.digits + "@[`{/:^ -~\\\0\\x7f", min_size=1, max_size=40),
        st.text("aZ9.", min_size=100, max_size=128),
    ),
    min_size=1,
    max_size=9,
)


def kind(character: str) -> str:
    return next((own for own in CLASSES if character in own), character)


def plain_shape(text: str) -> str:
    return "".join(kind(character)[0] for character in text)


def plain_numbers(text: str, first: int) -> list[tuple[int, int]]:
    """Value and size of the numbers of one half."""
    own = [i for i, character in enumerate(text) if len(kind(character)) > 1][first::2]
    found = []
    for start in range(0, len(text), UNIT):
        value, size = 0, 1
        for place in (0, 8, 2, 10, 4, 12, 6, 14):
            for i in own:
                if i - start in (place, place + 1):
                    value, size = value * len(kind(text[i])) + kind(text[i]).index(text[i]), size * len(kind(text[i]))
        found.append((value, size))
    return found


@settings(max_examples=60, deadline=None)
@given(texts_of_all_lengths)
def test_numbers_equal_plain_python_and_become_the_texts_again(texts: list[str]) -> None:
    whole, room = Texts(pa.array([b"before", *(text.encode() for text in texts)])[1:]), Room()
    written = Written(whole)
    units = Units(whole, slice(0, len(texts)), room)
    numbers = Numbers(units, room)
    order = sorted(range(len(texts)), key=lambda i: -len(plain_numbers(texts[i], 0)))
    for j, (count, part) in enumerate(zip(units.counts, units.parts, strict=True)):
        assert count == sum(len(text) > UNIT * j for text in texts)
        for half, (values, sizes) in enumerate(zip(numbers.value, numbers.size, strict=True)):
            plain = [plain_numbers(texts[i], half)[j] for i in order[:count]]
            assert list(zip(values[part].tolist(), sizes[part].tolist(), strict=True)) == plain
        shapes = [plain_shape(texts[i])[UNIT * j : UNIT * (j + 1)].ljust(UNIT, "\0").encode() for i in order[:count]]
        assert units.words[:, part].T.tobytes() == b"".join(shapes)
    few = {i for i, text in enumerate(texts) if prod(len(kind(character)) for character in text) < SMALLEST}
    assert set(units.places(numbers.too_few()).tolist()) == few
    numbers.written()
    units.write(written)
    assert written.series(units.places(numbers.too_few())).to_list() == [
        None if i in few else text for i, text in enumerate(texts)
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 128), min_size=1, max_size=400))
def test_every_text_is_in_one_pass_and_none_has_too_many_units(sizes: list[int]) -> None:
    texts = Texts(pa.array([b"a" * size for size in sizes * 20]))
    passes = list(texts.passes())
    assert [i for part in passes for i in range(part.start, part.stop)] == list(range(len(texts)))
    assert texts.fit()
