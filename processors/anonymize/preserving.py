"""Keyed permutations of texts that keep their form: a digit stays a digit, a letter a letter, the rest stays as it is.

Always holds: among the texts of one shape (length, classes and separators) no two come out equal, and which comes out
where depends on the key and the shape alone. A Feistel network of ten rounds as in FF1 (NIST SP 800-38G), the shape as
its tweak, but over a product of small groups: the characters of each half are packed by at most eight into numbers, and
each number is added to modulo its own size, so no long arithmetic and no cycle walking are needed. Which characters
make a number (shapes.py) follows from the shape alone, so that each round is a bijection of the texts of a shape. The
round function is a CBC-MAC of AES-256; reducing 64 of its bits to at most 26^8 leaves a bias below 2^-26.

A shape tells no more than where the characters of its classes stand, which the tweak alone depends on; so texts of all
shapes go through the network together, and how many shapes there are makes no difference.

A shape of fewer than SMALLEST texts is refused (the result is null): who knows a few values of so small a domain, or
how often each occurs, reads the others off. So are texts that are not ASCII or longer than LONGEST. Knows no column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from processors.anonymize.randomness import subkey
from processors.anonymize.shapes import Numbers
from processors.anonymize.units import LONGEST, Room, Texts, Units, Words, Written

ROUNDS: Final = 10
REPEATED: Final = 0.7  # share of distinct texts below which it pays to find them
PASS: Final = 65_536  # texts at a time among which repeated ones are looked for
_ROOMS: Final[list[Room]] = []  # those that nobody uses now, wiped


def preserved(texts: pl.Series, key: bytes, domain: str) -> pl.Series:
    """Each text permuted among those of its shape; null for null, and for what is refused."""
    network = _Network(subkey(key, "token-preserving", domain), subkey(key, "token-shape", domain))
    parts = [network.of_each(texts[start : start + PASS]) for start in range(0, max(len(texts), 1), PASS)]
    return pl.concat(parts).alias(texts.name)


class _Network:
    def __init__(self, key: bytes, tweaks: bytes) -> None:
        self._cipher, self._tweaks = (
            Cipher(algorithms.AES(own), modes.ECB()).encryptor()  # noqa: S305
            for own in (key, tweaks)
        )

    def of_each(self, texts: pl.Series) -> pl.Series:
        """Null for what can't be kept; each distinct text is permuted once where that is less work."""
        if texts.null_count() or not len(texts):
            return self._of_some(texts)
        array = texts.cast(pl.Binary).rechunk().to_arrow()
        if not Texts(array).fit():
            return self._of_some(texts)
        if texts.to_frame().select(pl.first().approx_n_unique() > REPEATED * len(texts)).item():
            return self.permuted(array)
        found = array.dictionary_encode()
        return self.permuted(found.dictionary).gather(pl.Series(found.indices))

    def _of_some(self, texts: pl.Series) -> pl.Series:
        """Of all others the form can't be kept."""
        text = pl.first()
        sizes = text.str.len_bytes()
        fit = (sizes == text.str.len_chars()) & sizes.is_between(1, LONGEST)
        places = texts.to_frame().select(fit.fill_null(False).arg_true()).to_series()
        done = pl.repeat(None, len(texts), dtype=pl.String, eager=True)
        return done.scatter(places, self.of_each(texts.gather(places))) if len(places) else done

    def permuted(self, texts: pa.Array) -> pl.Series:
        """Null for what is refused."""
        whole = Texts(texts)
        made = Written(whole)
        refused = []
        room = _ROOMS.pop() if _ROOMS else Room()
        for part in whole.passes():
            units = Units(whole, part, room)
            numbers = Numbers(units, room)
            refused.append(units.places(numbers.too_few()))
            self._mix(units, numbers, room)
            numbers.written()
            units.write(made)
            room.empty()
        room.wipe()
        _ROOMS.append(room)
        return made.series(np.concatenate(refused))

    def _mix(self, units: Units, numbers: Numbers, room: Room) -> None:
        """The network itself."""
        noise = _Noise(self._cipher, self._tweak(units, room), units, room)
        mixed, less = numbers.spare
        alike = [[_alike(size[part]) for part in units.parts] for size in numbers.size]
        for turn in range(ROUNDS):
            to, of = turn % 2, 1 - turn % 2
            for words, size, part in zip(noise.of(numbers.value[of], turn), alike[to], units.parts, strict=True):
                _reduce(words, size, mixed[part], less[part])
            mixed += numbers.value[to]
            np.subtract(mixed, numbers.size[to], out=less)
            np.minimum(mixed, less, out=numbers.value[to])  # of these two the one that did not wrap around

    def _tweak(self, units: Units, room: Room) -> Words:
        """The MAC of each shape as randomness.macs has it: of its length, then of its units."""
        blocks = _Blocks(self._tweaks, units.counts[0], room)
        blocks.words[:, 0], blocks.words[:, 1] = units.sizes, 0
        blocks.encrypt(units.counts[0])
        for count, part in zip(units.counts, units.parts, strict=True):
            for i, words in enumerate(units.words[:, part]):
                blocks.words[:count, i] ^= words
            blocks.encrypt(count)
        tweak: Words = room.pairs(1, units.counts[0])[0]
        tweak[:] = blocks.words.T
        return tweak


class _Blocks:
    """Blocks of two words each, which a cipher encrypts where they are."""

    def __init__(self, cipher: Any, count: int, room: Room) -> None:
        self._cipher = cipher
        self._memory = room.pairs(1, count + 1).reshape(-1, 2)  # the cipher wants a block more
        self.words: Words = self._memory[:-1]

    def encrypt(self, count: int) -> None:
        """The first so many."""
        self._cipher.update_into(self.words[:count].data.cast("B"), self._memory.data.cast("B"))


class _Noise:
    """The round function over many texts."""

    def __init__(self, cipher: Any, tweak: Words, units: Units, room: Room) -> None:
        self._tweak = tweak
        self._state = _Blocks(cipher, units.counts[0], room)
        own = list(zip(units.counts, units.parts, strict=True))
        self._blocks = [own[j : j + 2] for j in range(0, len(own), 2)]  # of two units' numbers
        self._second = own[1][0] if len(own) > 1 else 0
        self._more = [_Blocks(cipher, units.counts[2], room)] if len(own) > 2 else []

    def of(self, half: Words, turn: int) -> Iterator[Words]:
        """Words of a pseudo-random function of the tweak, the round and the other half, for each unit in turn."""
        state = self._state.words
        # a number is below 2^38, so the round's number meets none of its bits
        self._tweak[0] ^= np.uint64((turn ^ max(turn - 1, 0)) << 56)
        for j, block in enumerate(self._blocks):
            for i, (count, part) in enumerate(block):
                np.bitwise_xor(state[:count, i] if j else self._tweak[i, :count], half[part], out=state[:count, i])
            if not j:
                state[self._second :, 1] = self._tweak[1, self._second :]
            self._state.encrypt(block[0][0])
        yield from (state[:count, i] for i, (count, _) in enumerate(self._blocks[0]))
        for j, block in enumerate(self._blocks[1:], 1):
            (more,) = self._more
            most = block[0][0]
            np.bitwise_xor(state[:most], np.uint64(2 * j), out=more.words[:most])
            more.encrypt(most)
            yield from (more.words[:count, i] for i, (count, _) in enumerate(block))


def _alike(sizes: Words) -> Any:
    """One number where all are the same, by which is divided faster."""
    return sizes[0] if (sizes == sizes[0]).all() else sizes


def _reduce(words: Words, size: Any, into: Words, less: Words) -> None:
    if isinstance(size, np.ndarray):
        np.remainder(words, size, out=into)
        return
    into[:] = words
    np.floor_divide(into, size, out=less)
    np.multiply(less, size, out=less)
    np.subtract(into, less, out=into)
