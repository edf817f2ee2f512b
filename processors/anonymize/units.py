"""Texts as units of sixteen characters, two words of eight each, so that a column is worked on word by word.

The first units of all texts stand one after the other, then all second ones, and so on; texts of more units come first,
so that those that have a j-th unit are always the first ones. Always holds: what a last unit has behind the end of its
text is zero. Knows no key and no class of characters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

LONGEST: Final = 128  # characters of a text
UNIT: Final = 16
AT_ONCE: Final = 32_768  # units of a pass, so that what is computed with stays near the processor
PAIRS: Final = 13  # pairs of words for each unit that a pass computes with

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
# what of a unit's two words belongs to a text of which so many characters are left
_WITHIN: Final = np.array(
    [[(1 << 8 * min(max(left - at, 0), 8)) - 1 for left in range(UNIT + 1)] for at in (0, 8)], dtype=np.uint64
)


class Texts:
    """The bytes of texts one after the other, and where each begins; the last of the ends is that of all."""

    def __init__(self, texts: pa.Array) -> None:
        array = texts.cast(pa.large_binary())
        _, ends, data = array.buffers()
        self.ends: Ints = np.frombuffer(ends, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
        self.data: Bytes = np.frombuffer(data, dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def fit(self) -> bool:
        """Whether all are ASCII, and none is empty or too long."""
        sizes = np.diff(self.ends)
        if not len(sizes) or sizes.min() < 1 or sizes.max() > LONGEST:
            return False
        return bool(self.data[self.ends[0] : self.ends[-1]].max() < 128)

    def passes(self) -> Iterator[slice]:
        """Neighbours that have at most AT_ONCE units together."""
        start = 0
        while start < len(self):
            units = partial(self._units_at_most, start)
            stop = bisect_right(range(1, len(self) + 1), AT_ONCE, lo=start + 1, key=units)
            yield slice(start, stop)
            start = stop

    def _units_at_most(self, start: int, stop: int) -> int:
        """A text has at most one more than its characters fill."""
        return stop - start + int(self.ends[stop] - self.ends[start]) // UNIT


class Written:
    """Texts of the same sizes as others, written from the first to the last."""

    def __init__(self, texts: Texts) -> None:
        self._ends = texts.ends - texts.ends[0]
        # the last text, too, is written in whole units
        self._memory = pa.allocate_buffer(int(self._ends[-1]) + LONGEST)
        self._data: Bytes = np.frombuffer(self._memory, dtype=np.uint8)

    def put(self, part: slice, rows: Any) -> None:
        """Texts of these places; what a row has behind the end of its text is overwritten by the next."""
        _places(self._data, rows.itemsize)[self._ends[:-1][part]] = rows

    def series(self, without: Ints) -> pl.Series:
        """As polars has them; null at the given places."""
        valid = None
        if len(without):
            there = np.ones(len(self._ends) - 1, dtype=np.bool_)
            there[without] = False
            valid = pa.py_buffer(np.packbits(there, bitorder="little"))
        buffers = [valid, pa.py_buffer(self._ends), self._memory]
        return pl.Series(pa.Array.from_buffers(pa.large_string(), len(self._ends) - 1, buffers))


class Room:
    """Memory for one pass after the other: to get it anew costs as much as what is computed in it."""

    def __init__(self) -> None:
        self._words = np.zeros(2 * PAIRS * (AT_ONCE + LONGEST // UNIT), dtype=np.uint64)
        self._taken = 0
        self._most = 0

    def pairs(self, count: int, size: int) -> Words:
        """So many pairs of rows of words, with anything in them."""
        start = self._taken
        self._taken += 2 * count * size
        self._most = max(self._most, self._taken)
        return self._words[start : self._taken].reshape(count, 2, size)

    def empty(self) -> None:
        """All of it can be taken again."""
        self._taken = 0

    def wipe(self) -> None:
        """Nothing remains of what was computed."""
        self._words[: self._most] = 0
        self._taken = self._most = 0


class Units:
    """The units of some of the texts, and where they are among all."""

    def __init__(self, texts: Texts, part: slice, room: Room) -> None:
        ends = texts.ends[part.start : part.stop + 1]
        starts, sizes = ends[:-1] - ends[0], np.diff(ends)
        units = _units(sizes)
        most = int(units.max())
        self._part, self._order = part, None
        if int(units.min()) < most:
            self._order = np.argsort(-units, kind="stable")
            starts, sizes = starts[self._order], sizes[self._order]
        self.sizes: Ints = sizes
        self.counts = [len(sizes), *(int(np.count_nonzero(units > j)) for j in range(1, most))]
        before = np.cumsum([0, *self.counts]).tolist()
        self.parts = [slice(*both) for both in pairwise(before)]
        self.words: Words = room.pairs(1, before[-1])[0]
        own = room.pairs(1, before[-1] + LONGEST // UNIT).reshape(-1).view(np.uint8)
        own[: ends[-1] - ends[0]] = texts.data[ends[0] : ends[-1]]
        self._rows = _places(own, UNIT * most)[starts]
        self._read()

    def _columns(self) -> Any:
        """Each word of each unit within the rows, and where it stands among the words here."""
        table = self._rows.view(np.uint64).reshape(len(self._rows), -1)
        for j, (count, part) in enumerate(zip(self.counts, self.parts, strict=True)):
            for i in (0, 1):
                yield table[:count, 2 * j + i], self.words[i, part]

    def _read(self) -> None:
        for column, words in self._columns():
            words[:] = column
        for j, (more, count, part) in enumerate(zip([*self.counts[1:], 0], self.counts, self.parts, strict=True)):
            left = self.sizes[more:count] - UNIT * j
            for words, within in zip(self.words[:, part], _WITHIN, strict=True):
                last = words[more:]
                last &= within.take(left)

    def alike(self) -> bool:
        """Whether all texts have the same words now."""
        whole = self.counts[-1] == self.counts[0]
        return whole and all((words == words[0]).all() for part in self.parts for words in self.words[:, part])

    def write(self, texts: Written) -> None:
        """The words as they are now."""
        for column, words in self._columns():
            column[:] = words
        rows = self._rows
        if self._order is not None:
            rows = np.empty_like(rows)
            rows[self._order] = self._rows
        texts.put(self._part, rows)

    def places(self, own: Ints) -> Ints:
        """Where texts that are at these places here stand among all."""
        found: Ints = self._part.start + (own if self._order is None else self._order[own])
        return found


def _places(data: Bytes, width: int) -> Any:
    """So many bytes from each place on, one entry to a place."""
    return np.ndarray((len(data) - width + 1,), dtype=f"V{width}", buffer=data.data, strides=(1,))


def _units(sizes: Ints) -> Any:
    """How many units a text has, the last one in part."""
    return ((sizes + (UNIT - 1)) >> 4).astype(np.int8)
