"""Rows as weighted points: equal rows are one point, its codes packed into words of bits.

Always holds: points come in the order of their codes, whatever the order of the rows; where subjects are counted they
stand in the order of their subjects first. Every selection keeps that order. Knows no domain and no guarantee.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Marks = NDArray[np.bool_]
Codes = NDArray[Any]  # integers of 0 and above; the fewer bytes, the faster
WORD = 64
MOST_ROWS = 2**31 - 1
SUPPRESSED = -1  # the class of a row that has none
CHUNK = 1 << 20  # rows for which a temporary column of 64 bits is made at once


@dataclass(frozen=True)
class Lane:
    """Where the codes of one column lie in a point's words."""

    word: int
    shift: int
    mask: int
    dtype: type[np.unsignedinteger[Any]]

    def read(self, words: Sequence[Codes]) -> Codes:
        """The column's codes."""
        word = words[self.word]
        codes: Codes = (word >> word.dtype.type(self.shift)) & word.dtype.type(self.mask)
        return codes.astype(self.dtype)


@dataclass
class Points:
    """Parallel columns; `number` tells a point from all others of the table."""

    words: list[Codes]
    number: NDArray[np.int32]
    weight: Codes
    others: list[NDArray[np.int32]]  # codes of the subject, if it is counted, then of the sensitive columns

    def __len__(self) -> int:
        return len(self.number)

    def take(self, order: Ints) -> Points:
        return Points(
            [word.take(order) for word in self.words],
            self.number.take(order),
            self.weight.take(order),
            [other.take(order) for other in self.others],
        )

    def halved(self, right: Marks) -> tuple[Points, Points]:
        """Those not marked and those marked. Empties itself, column by column, to need little room beside it."""
        columns = [*self.words, self.number, self.weight, *self.others]
        words, left = len(self.words), ~right
        self.words, self.others = [], []
        self.number, self.weight = self.number[:0].copy(), self.weight[:0].copy()
        first, second = [], []
        while columns:
            column = columns.pop(0)
            first.append(column[left])
            second.append(column[right])
        a, b = (Points(half[:words], half[words], half[words + 1], half[words + 2 :]) for half in (first, second))
        return a, b


def together(parts: Sequence[Points]) -> Points:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    return Points(
        [np.concatenate(words) for words in zip(*(part.words for part in parts), strict=True)],
        np.concatenate([part.number for part in parts]),
        np.concatenate([part.weight for part in parts]),
        [np.concatenate(others) for others in zip(*(part.others for part in parts), strict=True)],
    )


@dataclass(frozen=True)
class Collapsed:
    """`rows` are the rows' numbers in the order of their points, `sizes` how many rows each point has."""

    points: Points
    lanes: tuple[Lane, ...]
    rows: NDArray[np.int32]
    sizes: Codes

    def each_row(self, of_point: NDArray[np.int32]) -> NDArray[np.int32]:
        """What is told of the points, told of each row."""
        out = np.empty(len(self.rows), dtype=np.int32)
        done = 0
        for start in range(0, len(of_point), CHUNK):
            told = np.repeat(of_point[start : start + CHUNK], self.sizes[start : start + CHUNK])
            out[self.rows[done : done + len(told)]] = told
            done += len(told)
        return out


def lanes_of(sizes: Sequence[int]) -> tuple[Lane, ...]:
    """One after the other from the lowest bit on, none across two words."""
    lanes, word, used = [], 0, 0
    for size in sizes:
        width = max(1, (size - 1).bit_length())
        if used + width > WORD:
            word, used = word + 1, 0
        kind = np.uint8 if width <= 8 else np.uint16 if width <= 16 else np.uint32
        lanes.append(Lane(word, used, (1 << width) - 1, kind))
        used += width
    return tuple(lanes)


def collapsed(codes: Sequence[Codes], sizes: Sequence[int], others: Sequence[NDArray[np.int32]]) -> Collapsed:
    """The points of a table given by columns of codes, each below its size; points are ordered by `others` first."""
    rows = len(codes[0])
    if rows > MOST_ROWS:
        raise ValueError(f"{rows:,} rows are more than {MOST_ROWS:,}")
    if any(len(column) != rows or column.max(initial=0) >= size for column, size in zip(codes, sizes, strict=True)):
        raise ValueError("every row has a code in every dimension, below its size")
    lanes = lanes_of(sizes)
    columns = [*codes, *reversed(others)]
    ordering = lanes_of([rows, *sizes, *(int(other.max(initial=0)) + 1 for other in reversed(others))])
    if ordering[-1].word == 0:
        order, words, fresh, others = _by_one_word(columns, ordering, lanes)
    else:
        order, words, fresh, others = _by_columns(_packed(codes, lanes), others)
    counts = np.diff(np.flatnonzero(fresh).astype(np.int32), append=np.int32(rows))
    counts = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
    number = np.arange(len(counts), dtype=np.int32)
    return Collapsed(Points(_narrow(words, lanes), number, counts, list(others)), lanes, order, counts)


Sorted = tuple[NDArray[np.int32], list[Codes], Marks, Sequence[NDArray[np.int32]]]


def _by_one_word(columns: Sequence[Codes], ordering: Sequence[Lane], lanes: Sequence[Lane]) -> Sorted:
    """All columns and the number of the row fit into one word, so one sort of numbers does it."""
    rows = len(columns[0])
    keys = np.arange(rows, dtype=np.uint64)
    for start in range(0, rows, CHUNK):
        part = keys[start : start + CHUNK]
        for lane, column in zip(ordering[1:], columns, strict=True):
            part |= column[start : start + CHUNK].astype(np.uint64) << np.uint64(lane.shift)
    keys.sort()
    order = np.empty(rows, dtype=np.int32)
    np.bitwise_and(keys, np.uint64(ordering[0].mask), out=order, casting="unsafe")
    keys >>= np.uint64(ordering[1].shift)
    fresh = _fresh(rows, [keys])
    keys = keys[fresh]
    own = ordering[1 : len(lanes) + 1]
    width = own[-1].shift + own[-1].mask.bit_length() - own[0].shift
    others = [
        ((keys >> np.uint64(lane.shift - own[0].shift)) & np.uint64(lane.mask)).astype(np.int32)
        for lane in reversed(ordering[len(lanes) + 1 :])
    ]
    keys &= np.uint64((1 << width) - 1)
    return order, [keys], fresh, others


def _by_columns(words: list[Codes], others: Sequence[NDArray[np.int32]]) -> Sorted:
    order = ordered([*others, *reversed(words)])
    words, others = [word.take(order) for word in words], [other.take(order) for other in others]
    fresh = _fresh(len(order), [*words, *others])
    return order, [word[fresh] for word in words], fresh, [other[fresh] for other in others]


def ordered(columns: Sequence[Codes]) -> NDArray[np.int32]:
    """The rows' numbers in the order of the columns."""
    frame = pl.DataFrame({str(i): column for i, column in enumerate(columns)})
    return frame.select(pl.arg_sort_by(frame.columns, maintain_order=True)).to_series().cast(pl.Int32).to_numpy()


def _packed(codes: Sequence[Codes], lanes: Sequence[Lane]) -> list[Codes]:
    words: list[Codes] = [np.zeros(len(codes[0]), dtype=np.uint64) for _ in range(lanes[-1].word + 1)]
    for column, lane in zip(codes, lanes, strict=True):
        words[lane.word] |= column.astype(np.uint64) << np.uint64(lane.shift)
    return words


def _narrow(words: list[Codes], lanes: Sequence[Lane]) -> list[Codes]:
    """Words of 32 bits where that is enough."""
    wide = {lane.word for lane in lanes if lane.shift + lane.mask.bit_length() > WORD // 2}
    return [word if i in wide else word.astype(np.uint32) for i, word in enumerate(words)]


def _fresh(rows: int, columns: Sequence[Codes]) -> Marks:
    """Which rows differ from the one before."""
    fresh = np.zeros(rows, dtype=np.bool_)
    fresh[:1] = True
    for column in columns:
        for start in range(1, rows, CHUNK):
            part = slice(start, start + CHUNK)
            fresh[part] |= column[part] != column[start - 1 : min(start + CHUNK, rows) - 1]
    return fresh
