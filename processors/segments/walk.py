"""Walks several segments together in ranges of key hashes, so that memory follows the range and not the state.

All rows of one hash come in one frame. Each block is opened once, and cut where a range ends: of each segment at most
one waits, and each row is put together with others once. The ranges depend on nothing but their number, so walking the
same rows again gives the same frames, however the rows are spread over segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from processors.segments.blocks import Block, together
from processors.segments.format import Segment

SPACE = 2**64  # of hashes
RANGE_BYTES = 64 << 20  # narrowed and not packed


class Cursor:
    """Reads one segment forward, block by block."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._next = 0
        self._last: Block | None = None  # of the last one that was opened, the rows that are still to come

    def until(self, end: int) -> Iterator[Block]:
        """The rows that come next and whose hash is below `end`, in blocks."""
        if self._last is not None and int(self._last.hashes[0]) < end:
            yield self._below(self._last, end)
        while self._last is None and self._next < self._segment.blocks and int(self._segment.firsts[self._next]) < end:
            block = self._segment.block(self._next)
            self._next += 1
            yield self._below(block, end)

    def _below(self, block: Block, end: int) -> Block:
        if int(block.hashes[-1]) < end:
            self._last = None
            return block
        below, self._last = block.cut(int(np.searchsorted(block.hashes, np.uint64(end))))
        return below


def ranges(segments: Sequence[Segment], rows_per_range: int) -> int:
    """How many ranges to walk, so that none has many more rows than that, or fewer where rows are wide."""
    rows, size = sum(segment.rows for segment in segments), sum(segment.size for segment in segments)
    return max(1, -(-rows // rows_per_range), -(-size // RANGE_BYTES))


def walk(segments: Sequence[Segment], count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """(number of the range, its rows sorted by hash); ranges without rows are left out."""
    cursors = [Cursor(segment) for segment in segments]
    for number in range(count):
        end = (number + 1) * SPACE // count
        found = together(block for cursor in cursors for block in cursor.until(end))
        if found is not None:
            yield number, found
