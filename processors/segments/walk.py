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

SPACE = 2**64  # of hashes
RANGE_BYTES = 64 << 20  # narrowed and not packed
AHEAD = 4  # ends of ranges at which an opened block is cut at once: a piece that waits takes kilobytes, too


class Cursor:
    """Opens a segment block by block."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._firsts: list[int] = segment.firsts.tolist()
        self._next = 0

    def until(self, end: int) -> Iterator[Block]:
        """The blocks that come next and begin below this hash."""
        while self._next < len(self._firsts) and self._firsts[self._next] < end:
            self._next += 1
            yield self._segment.block(self._next - 1)


class Pieces:
    """Rows of opened blocks by the range they fall into."""

    def __init__(self, ends: Sequence[int]) -> None:
        self._ends = ends
        self._inner = np.array(ends[:-1], dtype=np.uint64)  # the last one is more than a hash can be
        self._held: defaultdict[int, list[Block]] = defaultdict(list)

    def add(self, block: Block) -> None:
        first, last = np.searchsorted(self._inner, block.hashes[[0, -1]], side="right").tolist()
        cuts = self._inner[first : min(last, first + AHEAD)]
        if not len(cuts):
            self._held[first].append(block)
            return
        rows = [0, *np.searchsorted(block.hashes, cuts).tolist()]
        # Of ranges that begin at the same row the last one has it, and others have none.
        starts = {row: number for number, row in enumerate(rows, first)}
        for number, piece in zip(starts.values(), block.cut(list(starts)), strict=True):
            self._held[number].append(piece)

    def take(self, number: int) -> list[Block]:
        """All that fall into this range, where those of earlier ranges were taken."""
        found = []
        for piece in self._held.pop(number, ()):
            if int(piece.hashes[-1]) < self._ends[number]:
                found.append(piece)
            else:  # the last one that was cut of a block goes on beyond its range
                self.add(piece)
        return found + self._held.pop(number, [])


def ranges(segments: Sequence[Segment], rows_per_range: int) -> int:
    """How many ranges to walk, so that none has many more rows than that, or fewer where rows are wide."""
    rows, size = sum(segment.rows for segment in segments), sum(segment.size for segment in segments)
    return max(1, -(-rows // rows_per_range), -(-size // RANGE_BYTES))


def walk(segments: Sequence[Segment], count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """(number of the range, its rows sorted by hash); ranges without rows are left out."""
    cursors = [Cursor(segment) for segment in segments]
    ends = [(number + 1) * SPACE // count for number in range(count)]
    pieces = Pieces(ends)
    for number, end in enumerate(ends):
        for cursor in cursors:
            for block in cursor.until(end):
                pieces.add(block)
        found = together(pieces.take(number))
        if found is not None:
            yield number, found
