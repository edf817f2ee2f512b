"""Characters of texts as numbers: what a keyed permutation that keeps forms has to know of a column.

A digit, a small and a capital letter are of a class each, all other characters stand for themselves. A text's shape has
the first of its class for each character. Characters of classes are dealt to two halves of the text by turns, the first
to the left one; so of two neighbouring places each half has one at most, and of a unit of sixteen places eight. These
make a number of mixed radix, with the size of its class as a character's radix. Its digits, the highest first, are the
characters at the places 0, 8, 2, 10, 4, 12, 6 and 14 of the unit or at their right neighbours.

Always holds: what is told of a text follows from it alone, whatever stands beside it. Knows no key.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from processors.anonymize.units import Ints, Room, Units, Words

SMALLEST: Final = 10**6  # texts of a shape; what FF1 asks for
DIGITS: Final = 6  # so many characters of classes have SMALLEST texts, whichever these are
_BYTES: Final = np.uint64(0x0101010101010101)
_FULL: Final = np.uint64(0xFF)


class Numbers:
    """A number of each half for each unit, and how many values it can have.

    The words of the units become the shapes of their texts, and have characters again after `written`.
    """

    def __init__(self, units: Units, room: Room) -> None:
        pairs = room.pairs(8, units.words.shape[1])
        masks, apart, halves = pairs[:2], pairs[2:4], pairs[4:].reshape(2, 2, *pairs.shape[1:])
        _told_apart(units.words, *apart, *masks)
        self.alike = units.alike()  # whether all texts have the same shape, which is looked at once then
        self._varying = _dealt_once(units, masks) if self.alike else _dealt(units.counts, units.parts, *masks)
        _halved(apart, masks[0], halves)
        ((narrow, middle), (size, low)), (spare, number) = halves, apart
        _paired(narrow, middle, size, low)
        _joined(narrow, size, middle, spare, np.uint32)
        _joined(spare, size, narrow, number, np.uint64)
        self._units, self._masks, self._radices = units, masks, (narrow, middle, low)
        self.value: Words = number  # of the left halves, and of the right ones
        self.size: Words = size
        self.spare: Words = spare  # memory of the same form, for any use

    def too_few(self) -> Ints:
        """Which texts have a shape of fewer than SMALLEST."""
        unsure = np.flatnonzero(self._varying < DIGITS)
        if not len(unsure):
            return unsure
        texts = np.ones(len(unsure))
        for count, part in zip(self._units.counts, self._units.parts, strict=True):
            there = unsure < count
            for size in self.size:
                texts[there] *= size[part][unsure[there]]
        return unsure[texts < SMALLEST]

    def written(self) -> None:
        """The characters of the numbers as they are now, put in their places."""
        (narrow, middle, low), number, spare = self._radices, self.value, self.spare
        _parted(number, narrow, spare, np.int64, np.float64)
        _parted(spare, middle, number, np.int32, np.float32)
        pair, radix, first = (a.view(np.uint16) for a in (number, low, narrow))
        _divided(pair, radix, first, np.float32)
        for words, characters, left, right in zip(self._units.words, (narrow, number), *self._masks, strict=True):
            lanes = characters.view(np.uint16)
            lanes *= np.uint16(0x101)  # at both places, of which the mask leaves one
            for half, mask in zip(characters, (left, right), strict=True):
                half &= mask
                words += half


def _told_apart(words: Words, value: Words, radix: Words, letters: Words, varying: Words) -> None:
    """For each character its place in its class, the size of this less one, and whether it has one; then the shapes."""
    characters, letter, known = (a.view(np.uint8) for a in (words, letters, varying))
    place, more = value.view(np.uint8), radix.view(np.uint8)
    np.bitwise_or(characters, np.uint8(ord("a") - ord("A")), out=place)
    place -= np.uint8(ord("a"))
    np.less(place, np.uint8(26), out=letter.view(np.bool_))
    np.subtract(characters, np.uint8(ord("0")), out=more)
    np.less(more, np.uint8(10), out=known.view(np.bool_))
    np.minimum(place, more, out=place)  # from "a" or "A" on it is less than from "0" on, but for digits
    known |= letter
    place *= known
    letter *= np.uint8(26 - 10)
    np.multiply(known, np.uint8(10 - 1), out=more)
    more += letter
    words -= value


def _dealt_once(units: Units, masks: Words) -> Words:
    """What `_dealt` does, for texts of one shape."""
    firsts = [part.start for part in units.parts]
    own = masks[:, :, firsts]
    varying = _dealt([1] * len(firsts), [slice(j, j + 1) for j in range(len(firsts))], *own)
    for j, part in enumerate(units.parts):
        masks[:, :, part] = own[:, :, j : j + 1]
    return np.repeat(varying, units.counts[0])


def _dealt(counts: list[int], parts: list[slice], left: Words, varying: Words) -> Words:
    """How many characters of classes each text has; `left` and `varying` become masks of the left and right half."""
    before = np.zeros(counts[0], dtype=np.uint64)
    for count, part in zip(counts, parts, strict=True):
        so_far = before[:count]
        for own, counted in zip(varying[:, part], left[:, part], strict=True):
            np.add(own, so_far, out=counted)
            counted *= _BYTES  # each byte becomes the sum of those up to it, which are 128 at most
            np.right_shift(counted, np.uint64(56), out=so_far)
    left &= varying
    varying ^= left
    left *= _FULL
    varying *= _FULL
    return before


def _halved(apart: Words, left: Words, halves: Any) -> None:
    """Of two neighbouring places what is of the left half, and what is of the right one, as a lane each."""
    np.bitwise_and(apart, left, out=halves[:, :, 0])
    np.bitwise_xor(apart, halves[:, :, 0], out=halves[:, :, 1])
    lanes = halves.view(np.uint16)
    lanes *= np.uint16(0x101)  # of its bytes one is zero: now the upper one is their sum
    lanes >>= np.uint16(8)
    radices = lanes[1]
    radices += np.uint16(1)


def _paired(value: Words, second: Words, size: Words, radix: Words) -> None:
    """Two characters of different words as one number in the place of the first."""
    lanes, following, sizes, radices = (a.view(np.uint16) for a in (value, second, size, radix))
    lanes *= radices
    lanes += following
    sizes *= radices


def _joined(value: Words, size: Words, radix: Words, into: Words, wide: Any) -> None:
    """Two neighbouring lanes as one number in a lane of twice the width; `radix` becomes the sizes of the second."""
    value, size, radix, into = (a.view(wide) for a in (value, size, radix, into))
    half = 4 * size.itemsize
    first = wide((1 << half) - 1)
    np.right_shift(size, wide(half), out=radix)
    np.bitwise_and(value, first, out=into)
    into *= radix
    value >>= wide(half)
    into += value
    size &= first
    size *= radix


def _parted(number: Words, radix: Words, into: Words, lane: Any, kind: Any) -> None:
    """The opposite; number and radix are used up."""
    number, radix, into = (a.view(lane) for a in (number, radix, into))
    _divided(number, radix, into, kind)
    number <<= lane(4 * number.itemsize)
    into |= number


def _divided(number: Any, radix: Any, into: Any, kind: Any) -> None:
    """The quotient rounded down, and in the place of the number what is left.

    A quotient is less than the square root of the largest whole number that its kind of float tells from its
    neighbours, and so is the radix: what is no whole number is further from the next one than rounding moves it.
    """
    np.divide(number, radix, out=into, dtype=kind, casting="unsafe")
    radix *= into
    number -= radix
