"""Keyed permutations of texts that keep their form: a digit stays a digit, a letter a letter, the rest stays as it is.

Always holds: among the texts of one shape (length, classes and separators) no two come out equal, and which comes out
where depends on the key and the shape alone. A Feistel network of ten rounds as in FF1 (NIST SP 800-38G), the shape as
its tweak, but over a product of small groups: the characters of each half are packed by eight into numbers, and each
number is added to modulo its own size, so no long arithmetic and no cycle walking are needed. The round function is a
CBC-MAC of AES-256; reducing 64 of its bits to at most 26^8 leaves a bias below 2^-26.

A shape of fewer than SMALLEST texts is refused (the result is null): who knows a few values of so small a domain, or
how often each occurs, reads the others off. So are texts that are not ASCII or longer than LONGEST. Knows no column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from processors.anonymize.randomness import macs, subkey

SMALLEST: Final = 10**6  # what FF1 asks for
LONGEST: Final = 128
ROUNDS: Final = 10
PACKED: Final = 8  # characters to a number
COMMON: Final = 256  # texts of one shape that are worth a pass of their own
PASS: Final = 65_536  # texts at a time, so that what is computed with stays near the processor

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
_RANGES: Final = ((ord("0"), 10), (ord("a"), 26), (ord("A"), 26))
RADIX = np.ones(256, dtype=np.uint8)
BASE = np.arange(256, dtype=np.uint8)  # of a character of no class: itself, which makes it the shape's, too
for _first, _count in _RANGES:
    RADIX[_first : _first + _count] = _count
    BASE[_first : _first + _count] = _first


class Number(NamedTuple):
    """Characters packed into one number: their ordinals, and the radix of each (one for all texts, or each its own)."""

    ordinals: range
    radices: Sequence[int | Words]

    @property
    def size(self) -> Any:
        return math.prod(self.radices, start=np.uint64(1))


def preserved(texts: pl.Series, key: bytes, domain: str) -> pl.Series:
    """Each text permuted among those of its shape; null for null, and for what is refused."""
    sizes = texts.str.len_bytes()
    plain = (sizes == texts.str.len_chars()) & (sizes <= LONGEST) & (sizes > 0)
    network = _Network(subkey(key, "token-preserving", domain), subkey(key, "token-shape", domain))
    rows: list[pl.Series] = [(~plain | plain.is_null()).arg_true()]
    done = [pl.Series([None], dtype=pl.String).new_from_index(0, len(rows[0]))]
    for size in sizes.filter(plain).unique().sort():
        own = (plain & (sizes == size)).arg_true()
        part = texts if len(own) == len(texts) else texts.gather(own)
        rows.append(own)
        done.append(network.permuted(part, size))
    return pl.concat(done).gather(pl.concat(rows).arg_sort()).alias(texts.name)


class _Network:
    def __init__(self, key: bytes, tweaks: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
        self._tweaks = tweaks

    def permuted(self, texts: pl.Series, size: int) -> pl.Series:
        """Texts that all have this many bytes."""
        plain = matrix_of(texts, size)
        out, fits = plain.copy(), np.zeros(len(plain), dtype=bool)
        for rows, same in _by_shape(BASE[plain]):
            for start in range(0, len(rows), PASS):
                own = rows[start : start + PASS]
                changed, good = self._one_shape(plain[own]) if same else self._any_shapes(plain[own])
                out[own], fits[own] = changed, good
        return text_of_matrix(out, fits)

    def _one_shape(self, plain: Bytes) -> tuple[Bytes, bool]:
        places = np.flatnonzero(RADIX[plain[0]] > 1)
        radices = [int(RADIX[plain[0, place]]) for place in places]
        if math.prod(radices) < SMALLEST:
            return plain, False
        base, out = BASE[plain[0]], plain.copy()
        shape = pl.Series([bytes(base).decode()])
        values = [plain[:, place] - base[place] for place in places]
        high, low = macs(self._tweaks, shape)
        for place, value in zip(places, self._mixed(values, radices, (high, low)), strict=True):
            out[:, place] = value.astype(np.uint8) + base[place]
        return out, True

    def _any_shapes(self, plain: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
        """Rare shapes together: their characters moved to the left, in groups of equal count."""
        base, radix, out = BASE[plain], RADIX[plain], plain.copy()
        order = np.argsort(radix == 1, axis=1, kind="stable")
        counts = (radix > 1).sum(axis=1)
        fits = np.log(radix).sum(axis=1) >= np.log(SMALLEST) - 1e-9
        words = macs(self._tweaks, text_of_matrix(base, np.ones(len(base), dtype=bool))).to_numpy().reshape(-1, 2)
        for count in np.unique(counts[fits]):
            rows = np.flatnonzero(fits & (counts == count))
            places = order[rows, :count]
            values = np.take_along_axis(plain[rows] - base[rows], places, axis=1)
            radices = np.take_along_axis(radix[rows], places, axis=1).astype(np.uint64)
            columns = range(int(count))
            tweak = (words[rows, 0], words[rows, 1])
            mixed = self._mixed([values[:, i] for i in columns], [radices[:, i] for i in columns], tweak)
            new = np.stack(mixed, axis=1).astype(np.uint8) + np.take_along_axis(base[rows], places, axis=1)
            out[rows[:, None], places] = new
        return out, fits

    def _mixed(
        self, values: list[Bytes], radices: Sequence[int | Words], tweak: tuple[int | Words, int | Words]
    ) -> list[Words]:
        """The network itself: every second character is of the left half, the others of the right."""
        numbers = [list(_numbers(radices, first)) for first in (0, 1)]
        sizes = [[number.size for number in half] for half in numbers]
        halves = [[_packed(values, number) for number in half] for half in numbers]
        for turn in range(ROUNDS):
            to, of = turn % 2, 1 - turn % 2
            noise = self._noise(halves[of], tweak, turn, len(halves[to]))
            for i, (word, size) in enumerate(zip(noise, sizes[to], strict=True)):
                multiple = word // size
                multiple *= size
                added = halves[to][i] + word
                added -= multiple
                halves[to][i] = np.minimum(added, added - size)  # of these two the one that did not wrap around
        out: dict[int, Words] = {}
        for half, packed in zip(numbers, halves, strict=True):
            for number, value in zip(half, packed, strict=True):
                out.update(_unpacked(value, number))
        return [out[i] for i in range(len(values))]

    def _noise(
        self, words: list[Words], tweak: tuple[int | Words, int | Words], turn: int, count: int
    ) -> Iterator[Words]:
        """Words of a pseudo-random function of the tweak, the round and the other half."""
        state: Words = np.empty((len(words[0]), 2), dtype=np.uint64)
        # a packed number is below 2^38, so the round's number meets none of its bits
        state[:, 0], state[:, 1] = tweak[0] ^ np.uint64(turn << 56), tweak[1]
        for i in range(0, len(words), 2):
            for j, word in enumerate(words[i : i + 2]):
                state[:, j] ^= word
            state = self._encrypted(state)
        yield from (state[:, j] for j in range(min(2, count)))
        for i in range(2, count, 2):
            more = self._encrypted(state ^ np.uint64(i))
            yield from (more[:, j] for j in range(min(2, count - i)))

    def _encrypted(self, blocks: Words) -> Words:
        out = np.empty(2 * len(blocks) + 2, dtype=np.uint64)
        self._cipher.update_into(blocks.data.cast("B"), out.data.cast("B"))
        return out[:-2].reshape(-1, 2)


def _numbers(radices: Sequence[int | Words], first: int) -> Iterator[Number]:
    """Every second character from the first on, by eight."""
    for start in range(first, len(radices), 2 * PACKED):
        ordinals = range(start, min(start + 2 * PACKED, len(radices)), 2)
        yield Number(ordinals, [radices[i] for i in ordinals])


def _packed(values: list[Bytes], number: Number) -> Words:
    word = _word(number)
    whole = values[number.ordinals[0]].astype(word)
    for i, radix in zip(number.ordinals[1:], number.radices[1:], strict=True):
        whole *= word(radix)
        whole += values[i]
    return whole.astype(np.uint64)


def _unpacked(packed: Words, number: Number) -> Iterator[tuple[int, Any]]:
    word = _word(number)
    whole = packed.astype(word)
    for i, radix in zip(reversed(number.ordinals), reversed(number.radices), strict=True):
        above = whole // word(radix)
        yield i, whole - above * word(radix)
        whole = above


def _word(number: Number) -> Any:
    """The type that the number fits into: half the width is twice as fast."""
    size = number.size
    return np.uint32 if np.ndim(size) == 0 and size < 2**32 else np.uint64


def _by_shape(shapes: Bytes) -> Iterator[tuple[npt.NDArray[np.int64], bool]]:
    """Rows of each common shape, then those of all others together, with whether they are of one shape."""
    if (shapes == shapes[0]).all():
        yield np.arange(len(shapes)), True
        return
    frame = pl.DataFrame({"shape": text_of_matrix(shapes, np.ones(len(shapes), dtype=bool))}).with_row_index("row")
    found = frame.group_by("shape").agg("row").select("row", rare=pl.col("row").list.len() < COMMON)
    yield from ((rows.to_numpy().astype(np.int64), True) for rows in found.filter(~pl.col("rare"))["row"])
    rare = found.filter("rare")["row"].explode()
    if len(rare):
        yield rare.to_numpy().astype(np.int64), False


def matrix_of(texts: pl.Series, size: int) -> Bytes:
    """The bytes of texts of one size, a row to each."""
    array = texts.rechunk().cast(pl.Binary).to_arrow().cast(pa.large_binary())
    data = np.frombuffer(array.buffers()[2], dtype=np.uint8)
    start = array.offset * size
    return data[start : start + len(texts) * size].reshape(-1, size)


def text_of_matrix(matrix: Bytes, fits: npt.NDArray[np.bool_]) -> pl.Series:
    """A text of each row, null where it does not fit."""
    rows, size = matrix.shape
    offsets = np.arange(0, (rows + 1) * size, size, dtype=np.int64)
    data = np.ascontiguousarray(matrix)
    array = pa.Array.from_buffers(pa.large_string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    texts = pl.Series("text", array)
    return texts if fits.all() else texts.set(pl.Series(~fits), None)
