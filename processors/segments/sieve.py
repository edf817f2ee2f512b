"""Tells which hashes may stand in a segment, so that the others are not looked for among all of its hashes.

A state of many segments holds most hashes in one of them. A bit for each hash that is there, by the hash's lowest bits:
what it leaves out is not there; of what is not there it lets one in ten through. It takes one to two bytes a hash.
"""

from __future__ import annotations

import numpy as np

_PER_HASH = 8  # bits at least; twice as many at most, since their number is a power of two
_BIT = np.uint64(7)
_BYTE = np.uint64(3)

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]


class Sieve:
    def __init__(self, hashes: Hashes) -> None:
        size = 1 << max(3, (_PER_HASH * len(hashes) - 1).bit_length())
        self._mask = np.uint64(size - 1)
        there = np.zeros(size, dtype=bool)
        there[hashes & self._mask] = True
        self._bits = np.packbits(there, bitorder="little")

    def pass_on(self, wanted: Hashes) -> Hashes:
        """Those that may be there, in the order in which they came."""
        place = wanted & self._mask
        marks = self._bits[place >> _BYTE] >> (place & _BIT).astype(np.uint8)
        passed: Hashes = wanted[(marks & 1).astype(bool)]
        return passed
