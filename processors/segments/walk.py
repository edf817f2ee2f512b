"""Walks several segments together in ranges of key hashes, so that memory follows the range and not the state.

All rows of one hash come in one frame. Each block is opened once, and cut where a range ends: of each segment at most
one waits, and each row is put together with others once. The ranges depend on nothing but their number, so walking the
same rows again gives the same frames, however the rows are spread over segments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from processors.segments.blocks import Block, together
from processors.segments.format import Segment
from processors.segments.sieve import Hashes

SPACE = 2**64  # of hashes
RANGE_BYTES = 64 << 20  # narrowed and not packed


class Cursor:
    """Opens a segment block by block, and cuts each where ranges end."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._firsts: list[int] = segment.firsts.tolist()
        self._next = 0

    def waits(self, end: int) -> bool:
        """Whether the next block has rows whose hash is below `end`."""
        return self._next < len(self._firsts) and self._firsts[self._next] < end

    def pieces(self, ends: Hashes) -> Iterator[tuple[int, Block]]:
        """The next block's rows, with the number of their range."""
        block = self._segment.block(self._next)
        self._next += 1
        first, last = np.searchsorted(ends, block.hashes[[0, -1]], side="right").tolist()
        if first == last:
            return iter([(first, block)])
        rows = [0, *np.searchsorted(block.hashes, ends[first:last]).tolist()]
        starts = {
            row: number for number, row in enumerate(rows, first)
        }  # of ranges that begin alike, the last has rows
        return zip(starts.values(), block.cut(list(starts)), strict=True)


def ranges(segments: Sequence[Segment], rows_per_range: int) -> int:
    """How many ranges to walk, so that none has many more rows than that, or fewer where rows are wide."""
    rows, size = sum(segment.rows for segment in segments), sum(segment.size for segment in segments)
    return max(1, -(-rows // rows_per_range), -(-size // RANGE_BYTES))


def walk(segments: Sequence[Segment], count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """(number of the range, its rows sorted by hash); ranges without rows are left out."""
    cursors = [Cursor(segment) for segment in segments]
    ends = [(number + 1) * SPACE // count for number in range(count)]
    inner = np.array(ends[:-1], dtype=np.uint64)  # the last one is more than a hash can be
    opened: defaultdict[int, list[Block]] = defaultdict(list)
    for number, end in enumerate(ends):
        for cursor in cursors:
            while cursor.waits(end):
                for at, piece in cursor.pieces(inner):
                    opened[at].append(piece)
        found = together(opened.pop(number, ()))
        if found is not None:
            yield number, found
