"""Format-preserving tokens: a bijection on every form, the same whatever stands beside them, equal to plain Python."""

from __future__ import annotations

import random
import re
import string
import struct
from collections.abc import Callable

import polars as pl
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.preserving import _ROOMS, _Network, preserved
from processors.anonymize.randomness import macs, subkey
from processors.anonymize.units import AT_ONCE

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
Run = Callable[..., pl.Series]
WrongFor = Callable[..., list[str]]
CLASSES = (string.digits, string.ascii_lowercase, string.ascii_uppercase)


def shape(text: str) -> str:
    for kind in CLASSES:
        text = re.sub(f"[{kind}]", kind[0], text)
    return text


def plainly(text: str, undo: bool = False) -> str:
    """One value through the network, with Python's own integers; `undo` goes back."""
    own = [next((kind for kind in CLASSES if c in kind), "") for c in text]
    at = [i for i, kind in enumerate(own) if kind]
    tweak = macs(subkey(KEY, "token-shape", "d"), pl.Series([shape(text)]))[0].tolist()
    cipher = Cipher(algorithms.AES(subkey(KEY, "token-preserving", "d")), modes.ECB()).encryptor()
    units = [range(start, start + 16) for start in range(0, len(text), 16)]
    parts = [[[i for i in at[first::2] if i in unit] for unit in units] for first in (0, 1)]
    for own_places in parts[0] + parts[1]:
        own_places.sort(key=lambda i: (i % 8 // 2, i))
    halves = [[(0, 1)] * len(part) for part in parts]
    for half, part in zip(halves, parts, strict=True):
        for j, places in enumerate(part):
            value, size = 0, 1
            for i in places:
                value, size = value * len(own[i]) + own[i].index(text[i]), size * len(own[i])
            half[j] = (value, size)
    for turn in reversed(range(10)) if undo else range(10):
        words = [value for value, _ in halves[1 - turn % 2]]
        words += [0] * (len(words) % 2)
        state = [tweak[0] ^ turn << 56, tweak[1]]
        for j in range(0, len(words), 2):
            block = struct.pack("<QQ", state[0] ^ words[j], state[1] ^ words[j + 1])
            state = list(struct.unpack("<QQ", cipher.update(block)))
        noise = list(state)
        for j in range(2, len(halves[turn % 2]), 2):
            noise += struct.unpack("<QQ", cipher.update(struct.pack("<QQ", state[0] ^ j, state[1] ^ j)))
        sign = -1 if undo else 1
        halves[turn % 2] = [
            ((v + sign * word) % size, size) for (v, size), word in zip(halves[turn % 2], noise, strict=False)
        ]
    out = list(text)
    for half, part in zip(halves, parts, strict=True):
        for (value, _), places in zip(half, part, strict=True):
            for i in reversed(places):
                value, digit = divmod(value, len(own[i]))
                out[i] = own[i][digit]
    return "".join(out)


fit = st.from_regex(r"[0-9a-zA-Z +@.-]{6,24}", fullmatch=True).filter(lambda t: len(re.findall("[0-9a-zA-Z]", t)) > 5)
long = st.text(string.ascii_letters + "-", min_size=60, max_size=128).filter(lambda t: t.count("-") < 50)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(fit, fit, long), min_size=1, max_size=5))
def test_equals_plain_python_and_goes_back(texts: list[str]) -> None:
    out = preserved(pl.Series(texts), KEY, "d").to_list()
    assert out == [plainly(text) for text in texts]
    assert [plainly(text, undo=True) for text in out] == texts


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=9), fit), max_size=8))
def test_the_form_remains_and_nothing_else_decides(run: Run, texts: list[str | None]) -> None:
    out = run("string", texts, method="tokenize", columns=["v"], format="preserving")
    for old, new in zip(texts, out, strict=True):
        assert new == run("string", [old], table="another", method="tokenize", columns=["v"], format="preserving")[0]
        assert new is None or shape(new) == shape(old or "")


def test_every_number_of_six_digits_has_a_token_of_its_own() -> None:
    numbers = pl.select(pl.int_range(10**6).cast(pl.String).str.zfill(6)).to_series()
    out = preserved(numbers, KEY, "")
    assert out.n_unique() == 10**6
    assert (out == numbers).sum() < 15  # one in expectation
    assert (out.str.head(3) == numbers.str.head(3)).sum() < 1_200  # a thousand in expectation
    some = numbers.head(10_000)
    assert (out.head(10_000) == preserved(some, OTHER, "")).sum() < 5
    assert (out.head(10_000) == preserved(some, KEY, "d")).sum() < 5


def test_forms_of_a_million_texts_and_fewer_whatever_stands_beside_them() -> None:
    """Six digits are a million texts, two letters and three digits fewer."""
    kept = ["000000", "12-34-56", "a00000", "aaa00000", "Zz12.ab", "aaaaa"]
    refused = ["00000", "a0000", "aa000", "99-99", "aaaa"]
    together = preserved(pl.Series(kept + refused), KEY, "d").to_list()
    assert together == [plainly(text) for text in kept] + [None] * len(refused)
    for text, out in zip(kept + refused, together, strict=True):
        assert preserved(pl.Series([text]), KEY, "d")[0] == out


def test_texts_of_every_length_and_many_forms_beside_each_other() -> None:
    draw = random.Random(8)
    letters = [draw.choice([*CLASSES, ".-@ "]) for _ in range(4_000)]
    texts = [
        "".join(draw.choice(draw.choice(letters)) for _ in range(size)) for size in range(20, 129, 3) for _ in (0, 1)
    ]
    texts += [text[:-1] + draw.choice(string.digits) for text in texts[::3]]
    assert preserved(pl.Series(texts), KEY, "d").to_list() == [plainly(text) for text in texts]


def test_repeated_values_come_out_as_they_do_alone() -> None:
    people = [f"{name}.{name}{i}@example.org" for i, name in enumerate(["ada", "Grace", "linus", "Ken", "barbara"] * 9)]
    alone = {person: preserved(pl.Series([person]), KEY, "d")[0] for person in people}
    drawn = random.Random(3).choices([*people, None, "no", "né"], k=3_000)
    assert preserved(pl.Series(drawn), KEY, "d").to_list() == [alone.get(person or "") for person in drawn]


def test_of_repeated_values_each_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they come again: here each in its turn, so that a part of them has none twice."""
    seen: list[int] = []
    permuted = _Network.permuted
    monkeypatch.setattr(_Network, "permuted", lambda self, texts: seen.append(len(texts)) or permuted(self, texts))
    people = [f"user{i}@example.org" for i in range(2_000)]
    assert preserved(pl.Series(people * 5), KEY, "d").to_list() == preserved(pl.Series(people), KEY, "d").to_list() * 5
    assert seen == [2_000, 2_000]


def test_more_texts_than_go_through_the_network_at_once() -> None:
    """Long and short ones by turns, so that a part of them has several units and its neighbours have one."""
    texts = [f"{i:06}" + "aB-" * (i * 7919 % 31) for i in range(AT_ONCE)]
    out = preserved(pl.Series(texts), KEY, "d")
    assert out.n_unique() == len(texts)
    assert [shape(text) for text in out] == [shape(text) for text in texts]
    for start in range(0, AT_ONCE, 997):
        assert out[start : start + 2].to_list() == [plainly(text) for text in texts[start : start + 2]]
    assert preserved(pl.Series(texts)[5_000:5_100], KEY, "d").to_list() == out[5_000:5_100].to_list()


def test_texts_of_one_shape_among_others_come_out_as_by_themselves() -> None:
    common = [f"{i:08}" for i in range(9_000)]
    rare = ["x" * 4 + "-" * i + "y" * (4 - i) for i in range(3)] + ["ABCDEFGH", "1a2b3c4d"]
    both = preserved(pl.Series(common + rare), KEY, "d").to_list()
    assert both[-20:] == [plainly(text) for text in (common + rare)[-20:]]
    assert preserved(pl.Series(common), KEY, "d").to_list() == both[:9_000]


def test_texts_of_one_shape_that_is_long_and_of_shapes_that_differ_late() -> None:
    draw = random.Random(5)
    alike = ["".join(draw.choice(kind) for kind in ("x", *CLASSES) * 17) for _ in range(40)]
    late = [text[:-2] + last for text, last in zip(alike, ["a0", "0a", "-a"] * 13, strict=False)]
    short = [text[: len(text) - i % 40] for i, text in enumerate(alike)]
    for texts in (alike, late, short):
        assert preserved(pl.Series(texts), KEY, "d").to_list() == [plainly(text) for text in texts]


def test_nothing_of_the_texts_remains_in_the_memory_that_is_kept() -> None:
    preserved(pl.Series([f"{i:06}-abcdefghijklmnopqrstuvw" for i in range(3_000)]), KEY, "d")
    assert _ROOMS
    assert not any(room.pairs(1, 30_000).any() for room in _ROOMS)
    _ROOMS.clear()


def test_what_can_not_be_kept_is_suppressed_or_becomes_a_plain_token(run: Run) -> None:
    values = ["12345", "123456", "abcd", "äbcdefgh", "", "----", "a" * 129, "a" * 128, None]
    out = run("string", values, method="tokenize", columns=["v"], format="preserving")
    assert [value is not None for value in out] == [False, True, False, False, False, False, False, True, False]
    told = run("string", values, method="tokenize", columns=["v"], format="preserving", otherwise="token")
    plain = run("string", values, method="tokenize", columns=["v"])
    assert told.to_list() == [kept or token for kept, token in zip(out, plain, strict=True)]
    assert told.null_count() == 1


def test_tokens_of_numbers_meet_those_of_texts(run: Run) -> None:
    numbers = run("int64", [-1234567, 7654321], method="tokenize", columns=["v"], format="preserving")
    texts = run("string", ["-1234567", "7654321"], method="tokenize", columns=["v"], format="preserving")
    assert numbers.to_list() == texts.to_list()
    assert numbers.str.contains("^-?[0-9]{7}$").all()


@pytest.mark.parametrize(
    ("column", "method", "told"),
    [
        ({"type": "date"}, {"format": "preserving"}, "v is of type date, whose form has too few texts"),
        (
            {"type": "string", "length": {"max": 4}},
            {"format": "preserving"},
            "at most 4 characters, so at most 456,976",
        ),
        ({"type": "string"}, {"otherwise": "token"}, "keeps no form; write format: preserving"),
        ({"type": "string"}, {"format": "same"}, "'token' or 'preserving'"),
    ],
)
def test_forms_that_make_no_sense(
    wrong: WrongFor, column: dict[str, object], method: dict[str, str], told: str
) -> None:
    (mistake,) = wrong({"v": column}, {"method": "tokenize", "columns": ["v"], **method})
    assert told in mistake
