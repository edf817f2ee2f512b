"""Keyed permutations of texts that keep their form: a digit stays a digit, a letter a letter, the rest stays as it is.

Always holds: among the texts of one shape (length, classes and separators) no two come out equal, and which comes out
where depends on the key and the shape alone. A Feistel network of ten rounds as in FF1 (NIST SP 800-38G), the shape as
its tweak, but over a product of small groups: the characters of each half are packed by eight into numbers, and each
number is added to modulo its own size, so no long arithmetic and no cycle walking are needed. The round function is a
CBC-MAC of AES-256; reducing 64 of its bits to at most 26^8 leaves a bias below 2^-26.

A shape tells no more than where the characters of its classes stand, which the tweak alone depends on; so texts of many
shapes go through the network together (shapes.py).

A shape of fewer than SMALLEST texts is refused (the result is null): who knows a few values of so small a domain, or
how often each occurs, reads the others off. So are texts that are not ASCII or longer than LONGEST. Knows no column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from processors.anonymize.randomness import macs, subkey
from processors.anonymize.shapes import (
    BASE,
    PACKED,
    SEPARATORS,
    VARIES,
    Bytes,
    Ints,
    Number,
    Shapes,
    Size,
    Texts,
    Words,
    windows,
)

LONGEST: Final = 128
ROUNDS: Final = 10
REPEATED: Final = 0.7  # share of distinct texts below which it pays to find them
PASS: Final = 65_536  # texts at a time, so that what is computed with stays near the processor


def preserved(texts: pl.Series, key: bytes, domain: str) -> pl.Series:
    """Each text permuted among those of its shape; null for null, and for what is refused."""
    plain = _plain(texts)
    whole = bool(plain.all())
    own = texts if whole else texts.filter(plain)
    if not len(own):
        return pl.repeat(None, len(texts), dtype=pl.String, eager=True).alias(texts.name)
    network = _Network(subkey(key, "token-preserving", domain), subkey(key, "token-shape", domain))
    done = pl.concat([network.of_each(own[start : start + PASS]) for start in range(0, len(own), PASS)])
    if not whole:
        done = pl.repeat(None, len(texts), dtype=pl.String, eager=True).scatter(plain.arg_true(), done)
    return done.alias(texts.name)


def _plain(texts: pl.Series) -> pl.Series:
    """Which have a form that can be kept, if it has enough texts."""
    text = pl.first()
    sizes = text.str.len_bytes()
    plain = (sizes == text.str.len_chars()) & sizes.is_between(1, LONGEST)
    return texts.to_frame().select(plain.fill_null(False)).to_series()


class _Network:
    def __init__(self, key: bytes, tweaks: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
        self._tweaks = tweaks

    def of_each(self, texts: pl.Series) -> pl.Series:
        """ASCII texts that are not too long, each distinct one once where that is less work."""
        if texts.to_frame().select(pl.first().approx_n_unique() > REPEATED * len(texts)).item():
            return self.permuted(texts)
        found = texts.rechunk().to_arrow().dictionary_encode()
        return self.permuted(pl.Series(found.dictionary)).gather(pl.Series(found.indices))

    def permuted(self, texts: pl.Series) -> pl.Series:
        """Null for what is refused."""
        whole = Texts.of(texts)
        shapes = Shapes(whole)
        words = macs(self._tweaks, shapes.each).to_numpy().reshape(-1, 2)
        rows: list[Ints] = []
        done: list[pl.Series] = []
        for own, radices in shapes.groups():
            rows.append(own)
            if radices is None:
                done.append(pl.repeat(None, len(own), dtype=pl.String, eager=True))
                continue
            part = whole if len(own) == len(texts) else Texts.of(texts.gather(pl.Series(own)))
            if len(words) == 1:
                made = self._one_shape(part, radices, words[0])
            else:
                made = self._group(part, radices, words[shapes.of_text[own]].T)
            done.append(pl.Series("text", made))
        back = np.empty(len(texts), dtype=np.int64)
        back[np.concatenate(rows)] = np.arange(len(texts))
        return done[0] if len(done) == 1 else pl.concat(done).gather(pl.Series(back))

    def _group(self, texts: Texts, radices: Any, tweak: Any) -> Any:
        """Texts of equal radices, or of several: then these are an array."""
        bare = np.frombuffer(texts.data.translate(None, SEPARATORS), dtype=np.uint8)
        base = np.frombuffer(bare.tobytes().translate(BASE), dtype=np.uint8)
        if isinstance(radices, list):
            sizes, matrix, inside = radices, (bare - base).reshape(-1, len(radices)), None
        else:
            counts = (radices > 1).sum(axis=1)
            inside = np.arange(radices.shape[1]) < counts[:, None]
            sizes = [_same(column) for column in np.ascontiguousarray(radices.T)]
            matrix = windows(bare - base, counts, len(sizes), 0)
        new = np.ascontiguousarray(self._mixed(np.ascontiguousarray(matrix.T), sizes, tweak).T)
        characters = new.ravel() if inside is None else new[inside]
        characters += base
        if len(characters) == len(texts.data):
            return texts.like(characters)
        out = np.frombuffer(bytearray(texts.data), dtype=np.uint8)
        out[texts.translated(VARIES).view(bool)] = characters
        return texts.like(out)

    def _one_shape(self, texts: Texts, radices: list[Size], tweak: Any) -> Any:
        """Of texts of one shape each character has one place."""
        size = int(texts.ends[1])
        out = np.array(np.frombuffer(texts.data, dtype=np.uint8).reshape(-1, size).T, order="C")
        places = np.flatnonzero(np.frombuffer(texts.data[:size].translate(VARIES), dtype=np.uint8))
        base = np.frombuffer(texts.data[:size].translate(BASE), dtype=np.uint8)[places, None]
        out[places] = self._mixed(out[places] - base, radices, tweak) + base
        return texts.like(np.ascontiguousarray(out.T))

    def _mixed(self, characters: Bytes, radices: list[Size], tweak: Any) -> Bytes:
        """The network itself: every second character is of the left half, the others of the right."""
        places = [[range(i, len(radices), 2)[j : j + PACKED] for j in range(0, len(radices), PACKED)] for i in (0, 1)]
        places = [[own for own in half if own] for half in places]
        halves = [[Number([characters[i] for i in own], [radices[i] for i in own]) for own in half] for half in places]
        rest, less = (np.empty(characters.shape[1], dtype=np.uint64) for _ in range(2))
        blocks = _Blocks(self._cipher, characters.shape[1])
        for turn in range(ROUNDS):
            to, of = halves[turn % 2], halves[1 - turn % 2]
            noise = blocks.noise([number.value for number in of], tweak, turn, len(to))
            for number, word in zip(to, noise, strict=True):
                size = np.uint64(number.size) if isinstance(number.size, int) else number.size
                np.floor_divide(word, size, out=rest)
                np.multiply(rest, size, out=rest)
                np.subtract(word, rest, out=rest)
                np.add(rest, number.value, out=rest)
                np.subtract(rest, size, out=less)
                np.minimum(rest, less, out=number.value)  # of these two the one that did not wrap around
        out = np.empty_like(characters)
        for half, own_places in zip(halves, places, strict=True):
            for number, own in zip(half, own_places, strict=True):
                for i, column in zip(own, number.characters(), strict=True):
                    out[i] = column
        return out


class _Blocks:
    """The round function over many texts; its memory is used again and again."""

    def __init__(self, cipher: Any, rows: int) -> None:
        self._cipher = cipher
        self._memory = [np.empty(2 * rows + 2, dtype=np.uint64) for _ in range(2)]  # the cipher wants a block more

    def noise(self, words: list[Words], tweak: Any, turn: int, count: int) -> Iterator[Words]:
        """Words of a pseudo-random function of the tweak, the round and the other half."""
        own = 0
        state = self._memory[own][:-2].reshape(-1, 2)
        # a packed number is below 2^38, so the round's number meets none of its bits
        state[:, 0], state[:, 1] = tweak[0] ^ np.uint64(turn << 56), tweak[1]
        for i in range(0, len(words), 2):
            for j, word in enumerate(words[i : i + 2]):
                state[:, j] ^= word
            own = 1 - own
            state = self._encrypted(state, self._memory[own])
        yield from (state[:, j] for j in range(min(2, count)))
        for i in range(2, count, 2):
            more = self._encrypted(state ^ np.uint64(i), self._memory[1 - own])
            yield from (more[:, j] for j in range(min(2, count - i)))

    def _encrypted(self, blocks: Words, into: Words) -> Words:
        self._cipher.update_into(blocks.data.cast("B"), into.data.cast("B"))
        return into[:-2].reshape(-1, 2)


def _same(radices: Bytes) -> Size:
    """One number where all are the same."""
    least = int(radices.min())
    return least if least == int(radices.max()) else radices
