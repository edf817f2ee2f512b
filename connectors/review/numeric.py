"""Decimals as PostgreSQL sends numbers of any length: groups of four digits, the decimal point between two of them.

A column's numbers all get as many groups as its longest needs; PostgreSQL takes off those of zeros at either end
when it reads them. The scale stays, so 1.50 is still 1.50. A column whose numbers all fit 64 bits, as most do, is
divided as such; one with longer numbers is divided by hand, 32 bits at a time. It must not know: what a column is for.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Limbs = list[NDArray[np.uint64]]  # of a number, the least significant first: one of 64 bits or several of 32

GROUP: Final = 4  # decimal digits of one group
NEGATIVE: Final = 0x4000
_PAIR: Final = np.uint64(10 ** (2 * GROUP))
_BASE: Final = np.uint32(10**GROUP)
_WORD: Final = np.uint64(32)
_LOW: Final = np.uint64(2**32 - 1)


def parts(column: pa.Array) -> list[tuple[str, int | NDArray[np.generic]]]:
    """What a number is sent as, part by part, each with the type it is sent in."""
    scale = column.type.scale
    negative, limbs = _magnitudes(column)
    groups = _groups(limbs, scale)
    behind = -(-scale // GROUP)  # groups behind the decimal point
    return [
        (">u2", len(groups)),
        (">i2", len(groups) - behind - 1),  # the power of 10,000 that the first group counts
        (">u2", negative * np.uint16(NEGATIVE)),
        (">u2", scale),
        *((">u2", group) for group in reversed(groups)),
    ]


def _magnitudes(array: pa.Array) -> tuple[NDArray[np.bool_], Limbs]:
    words = np.frombuffer(array.buffers()[1], np.int64, 2 * len(array), 16 * array.offset).reshape(-1, 2)
    signed, above = words[:, 0], words[:, 1]
    if (above == signed >> 63).all():
        return signed < 0, _shortened([np.abs(signed).view(np.uint64)])
    negative = above < 0
    low = np.where(negative, -signed, signed).view(np.uint64)
    high = np.where(negative, ~above + (signed == 0), above).view(np.uint64)
    return negative, _shortened([low & _LOW, low >> _WORD, high & _LOW, high >> _WORD])


def _groups(limbs: Limbs, scale: int) -> list[NDArray[np.generic]]:
    """The least significant first. The last digits fill up their group, because the point stands between two."""
    found: list[NDArray[np.generic]] = []
    partly = scale % GROUP
    if partly:
        limbs, rest = _divided(limbs, np.uint64(10**partly))
        found.append(rest.astype(np.uint32) * np.uint32(10 ** (GROUP - partly)))
    while limbs:
        limbs, rest = _divided(limbs, _PAIR)
        pair = rest.astype(np.uint32)
        upper = pair // _BASE
        found += [pair - upper * _BASE, upper]
    while found and not found[-1].any():
        found.pop()
    return found


def _divided(limbs: Limbs, by: np.uint64) -> tuple[Limbs, NDArray[np.uint64]]:
    """Quotients and remainders, by hand: what remains of a limb stands before the next one."""
    if len(limbs) == 1:
        quotient = limbs[0] // by
        return _shortened([quotient]), limbs[0] - quotient * by
    quotients: Limbs = []
    rest = np.zeros(1, np.uint64)
    for limb in reversed(limbs):
        number = (rest << _WORD) | limb
        quotient = number // by
        rest = number - quotient * by
        quotients.append(quotient)
    return _shortened(quotients[::-1]), rest


def _shortened(limbs: Limbs) -> Limbs:
    """Without limbs that are zero in every number: numbers get shorter with each division."""
    while limbs and not limbs[-1].any():
        limbs = limbs[:-1]
    return [limbs[0] | (limbs[1] << _WORD)] if len(limbs) == 2 else limbs
