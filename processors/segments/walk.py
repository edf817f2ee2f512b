"""Walks several segments together in ranges of key hashes, so that memory follows the range and not the state.

All rows of one hash come in one frame. Each block is opened once; of each segment at most one block waits.
The ranges depend on nothing but their number, so walking the same rows again gives the same frames,
however the rows are spread over segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import polars as pl

from processors.segments.format import Block, Mask, Segment, chosen
from processors.segments.sieve import Hashes

SPACE = 2**64  # of hashes
RANGE_BYTES = 64 << 20  # narrowed and not packed


class Cursor:
    """Reads one segment forward, block by block."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._next = 0
        self._last: Block | None = None  # the last one that was opened, while some of its rows are still to come

    def until(self, end: int) -> Iterator[Block]:
        """The blocks with rows that come next and whose hash is below `end`; other rows of theirs may be anywhere."""
        if self._last is not None and int(self._last.hashes[0]) < end:
            yield self._still(self._last, end)
        while self._last is None and self._next < self._segment.blocks and int(self._segment.firsts[self._next]) < end:
            block = self._segment.block(self._next)
            self._next += 1
            yield self._still(block, end)

    def _still(self, block: Block, end: int) -> Block:
        self._last = block if int(block.hashes[-1]) >= end else None
        return block


def ranges(segments: Sequence[Segment], rows_per_range: int) -> int:
    """How many ranges to walk, so that none has many more rows than that, or fewer where rows are wide."""
    rows, size = sum(segment.rows for segment in segments), sum(segment.size for segment in segments)
    return max(1, -(-rows // rows_per_range), -(-size // RANGE_BYTES))


def walk(segments: Sequence[Segment], count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """(number of the range, its rows sorted by hash); ranges without rows are left out."""
    cursors = [Cursor(segment) for segment in segments]
    for number in range(count):
        begin, end = number * SPACE // count, (number + 1) * SPACE // count
        blocks = [block for cursor in cursors for block in cursor.until(end)]
        if blocks and (found := chosen(blocks, partial(_between, begin, end))) is not None:
            yield number, found


def _between(begin: int, end: int, hashes: Hashes) -> Mask:
    within: Mask = hashes >= np.uint64(begin)
    return within if end == SPACE else within & (hashes < np.uint64(end))
