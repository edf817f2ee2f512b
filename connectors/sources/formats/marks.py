"""Where one byte stands in a block, as bits: sixty-four places to a word.

What is asked of a word costs an eighth of a byte's place, so that what stands between others is found without a list of
all of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_WORD: Final = 64
_ONE: Final = np.uint64(1)
_LAST: Final = np.uint64(_WORD - 1)
_AT_ONCE: Final = 1 << 18  # bytes that stay near the processor


def marks(held: npt.NDArray[np.uint8], byte: int) -> Words:
    """The places of a byte. There is a place behind the last one, and nothing stands there."""
    found = np.zeros(len(held) // _WORD + 1, dtype="<u8")
    octets = found.view(np.uint8)
    equal = np.empty(min(_AT_ONCE, len(held)), dtype=np.bool_)
    for start in range(0, len(held), _AT_ONCE):
        some = held[start : start + _AT_ONCE]
        packed = np.packbits(np.equal(some, byte, out=equal[: len(some)]), bitorder="little")
        octets[start // 8 : start // 8 + len(packed)] = packed
    return found


def put(words: Words, place: int, there: bool) -> None:
    """Whether a place is among them from now on."""
    bit = _ONE << np.uint64(place % _WORD)
    words[place // _WORD] = words[place // _WORD] | bit if there else words[place // _WORD] & ~bit


def behind(words: Words) -> Words:
    """The places that follow one of these; the first one follows nothing."""
    found = words << _ONE
    found[1:] |= words[:-1] >> _LAST
    return found


def ahead(words: Words) -> Words:
    """The places that one of these follows."""
    found = words >> _ONE
    found[:-1] |= words[1:] << _LAST
    return found


def places(words: Words) -> Numbers:
    """All of them."""
    at = np.flatnonzero(words)
    if 2 * len(at) > len(words):  # most words have some: their own numbers tell where they are
        return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little").view(np.bool_))
    bits = np.flatnonzero(np.unpackbits(words[at].view(np.uint8), bitorder="little").view(np.bool_))
    found: Numbers = at[bits // _WORD] * _WORD + bits % _WORD
    return found


class Counted:
    """Places that know their numbers."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._until = np.cumsum(np.bitwise_count(words), dtype=np.int64)
        self.total = int(self._until[-1])

    def before(self, others: Numbers) -> Numbers:
        """How many there are before each of other places."""
        at = others // _WORD
        words = self._words[at]
        lower = words & ((_ONE << (others % _WORD).astype(np.uint64)) - _ONE)
        found: Numbers = self._until[at] - np.bitwise_count(words) + np.bitwise_count(lower)
        return found

    def place(self, number: int) -> int:
        """The one with this number, from 0 on."""
        at = int(np.searchsorted(self._until, number, side="right"))
        word = int(self._words[at])
        for _ in range(number - (int(self._until[at - 1]) if at else 0)):
            word &= word - 1
        return at * _WORD + (word & -word).bit_length() - 1
