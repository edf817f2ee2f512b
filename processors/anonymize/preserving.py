"""Keyed permutations of texts that keep their form: a digit stays a digit, a letter a letter, the rest stays as it is.

Always holds: among the texts of one shape (length, classes and separators) no two come out equal, and which comes out
where depends on the key and the shape alone. A Feistel network of ten rounds as in FF1 (NIST SP 800-38G), the shape as
its tweak, but over a product of small groups: the characters of each half are packed by at most eight into numbers, and
each number is added to modulo its own size, so no long arithmetic and no cycle walking are needed. Which characters are
of a half and which of these make a number (shapes.py) follows from the shape alone, so that each round is a bijection
of the texts of a shape; the left half has as many characters as the right one, or one more. The round function is a
CBC-MAC of AES-256; reducing 64 of its bits to at most 26^8 leaves a bias below 2^-26.

A shape tells no more than where the characters of its classes stand, which the tweak alone depends on; so texts of all
shapes go through the network together, and how many shapes there are makes no difference.

A shape of fewer than SMALLEST texts is refused (the result is null): who knows a few values of so small a domain, or
how often each occurs, reads the others off. So are texts that are not ASCII or longer than LONGEST. Knows no column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
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
Step = Callable[[], object]
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
        """The network itself: its two kinds of rounds as lists of steps, which are the same each time."""
        noise = _Noise(self._cipher, self._tweak(units, numbers.alike, room), units, room)
        mixed, less = numbers.spare
        rounds: list[list[Step]] = []
        for to, of in ((0, 1), (1, 0)):
            steps: list[Step] = []
            value, size = numbers.value[to], numbers.size[to]
            for words, part in zip(noise.of(numbers.value[of], steps), units.parts, strict=True):
                steps += _reduction(words, size[part], mixed[part], less[part])
            steps += [partial(np.add, mixed, value, out=mixed), partial(np.subtract, mixed, size, out=less)]
            steps += [partial(np.minimum, mixed, less, out=value)]  # of these two the one that did not wrap around
            rounds.append(steps)
        for turn in range(ROUNDS):
            noise.turn[...] = (turn ^ max(turn - 1, 0)) << 56
            for step in rounds[turn % 2]:
                step()

    def _tweak(self, units: Units, alike: bool, room: Room) -> Words:
        """The MAC of each shape as randomness.macs has it: of its length, then of its units."""
        counts = [1] * len(units.counts) if alike else units.counts
        blocks = _Blocks(self._tweaks, counts[0], room)
        blocks.words[:, 0], blocks.words[:, 1] = units.sizes[: counts[0]], 0
        blocks.encryption(counts[0])()
        for count, part in zip(counts, units.parts, strict=True):
            for block, words in zip(blocks.words[:count].T, units.words[:, part], strict=True):
                block ^= words[:count]
            blocks.encryption(count)()
        tweak: Words = room.pairs(1, units.counts[0])[0]
        tweak[:] = blocks.words.T
        return tweak


class _Blocks:
    """Blocks of two words each, which a cipher encrypts where they are."""

    def __init__(self, cipher: Any, count: int, room: Room) -> None:
        memory = room.pairs(1, count + 1).reshape(-1, 2)  # the cipher wants a block more
        self._cipher, self._bytes = cipher, memory.data.cast("B")
        self.words: Words = memory[:-1]

    def encryption(self, count: int) -> Step:
        """Of the first so many."""
        return partial(self._cipher.update_into, self._bytes[: 16 * count], self._bytes)


class _Noise:
    """The round function over many texts: a pseudo-random function of the tweak, the round and a half of the text."""

    def __init__(self, cipher: Any, tweak: Words, units: Units, room: Room) -> None:
        own = list(zip(units.counts, units.parts, strict=True))
        self._blocks = [own[j : j + 2] for j in range(0, len(own), 2)]  # of two units' numbers
        self._tweak = tweak
        self._state = _Blocks(cipher, units.counts[0], room)
        self._more = _Blocks(cipher, units.counts[2], room) if len(own) > 2 else self._state
        self.turn = np.zeros((), dtype=np.uint64)  # in which bits the round's number differs from that of the last

    def of(self, half: Words, steps: list[Step]) -> Iterator[Words]:
        """Where words for each unit will be, once the steps until then have been taken, which are added."""
        state, more = self._state.words, self._more.words
        # a number is below 2^38, so the round's number meets none of its bits
        steps.append(partial(np.bitwise_xor, self._tweak[0], self.turn, out=self._tweak[0]))
        for j, block in enumerate(self._blocks):
            for i, (count, part) in enumerate(block):
                words = state[:count, i]
                mixed_in = words if j else self._tweak[i, :count]
                steps.append(partial(np.bitwise_xor, mixed_in, half[part], out=words))
            if not j:
                alone = block[1][0] if len(block) > 1 else 0
                steps.append(partial(np.copyto, state[alone:, 1], self._tweak[1, alone:]))
            steps.append(self._state.encryption(block[0][0]))
        yield from (state[:count, i] for i, (count, _) in enumerate(self._blocks[0]))
        for j, block in enumerate(self._blocks[1:], 1):
            most = block[0][0]
            steps.append(partial(np.bitwise_xor, state[:most], np.uint64(2 * j), out=more[:most]))
            steps.append(self._more.encryption(most))
            yield from (more[:count, i] for i, (count, _) in enumerate(block))


def _reduction(words: Words, sizes: Words, into: Words, less: Words) -> list[Step]:
    """Words modulo sizes. Where these are all the same, whole numbers next to each other are divided faster."""
    size = sizes[:1].reshape(())
    if not (sizes[::256] == size).all() or not (sizes == size).all():
        return [partial(np.remainder, words, sizes, out=into)]
    return [
        partial(np.copyto, into, words),
        partial(np.floor_divide, into, size, out=less),
        partial(np.multiply, less, size, out=less),
        partial(np.subtract, into, less, out=into),
    ]
