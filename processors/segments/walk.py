"""Walks several segments together in ranges of key hashes, so that memory follows the range and not the state.

All rows of one hash come in one frame. Each block is opened once; of each segment at most one block waits.
The ranges depend on nothing but their number, so walking the same rows again gives the same frames,
however the rows are spread over segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from processors.segments.format import Block, Segment, framed
from schemas.columns import HASH

SPACE = 2**64


class Cursor:
    """Reads one segment forward."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._next = 0
        self._rest: Block | None = None

    def until(self, end: int) -> Iterator[Block]:
        """The rows that come next and whose hash is below `end`."""
        if self._rest is not None:
            rest, self._rest = self._rest, None
            yield from self._below(rest, end)
        while self._rest is None and self._next < self._segment.blocks and int(self._segment.firsts[self._next]) < end:
            block = self._segment.block(self._next)
            self._next += 1
            yield from self._below(block, end)

    def _below(self, block: Block, end: int) -> Iterator[Block]:
        rows, hashes = block
        below = int(np.searchsorted(hashes, np.uint64(end))) if end < SPACE else len(hashes)
        if below < len(hashes):
            self._rest = rows.slice(below), hashes[below:]
        if below:
            yield rows.slice(0, below), hashes[:below]


def ranges(rows: int, rows_per_range: int) -> int:
    """How many ranges to walk for so many rows."""
    return max(1, -(-rows // rows_per_range))


def walk(segments: Sequence[Segment], count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """(number of the range, its rows sorted by hash); ranges without rows are left out."""
    cursors = [Cursor(segment) for segment in segments]
    for number in range(count):
        end = (number + 1) * SPACE // count
        parts = [part for cursor in cursors for part in cursor.until(end)]
        if parts:
            yield number, framed(parts).sort(HASH, maintain_order=True)
