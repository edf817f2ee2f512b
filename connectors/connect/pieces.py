"""Cuts a chunk into what fits a message, and says where in it an earlier owner stopped."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from connectors.sources.contract import Chunk
from schemas.batch import MAX_ROWS

PIECE_BYTES = 8 << 20  # of rows in memory that go into one message


def left(chunk: Chunk, skip: int) -> int:
    """How many rows behind the chunk were sent before: a source may give smaller chunks when it is read again."""
    return max(0, skip - chunk.frame.height)


def pieces(frame: pl.DataFrame, skip: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """(how many rows of the chunk are behind it, the piece); one empty piece where nothing is left."""
    rest = frame.slice(skip)
    if rest.height == 0:
        yield frame.height, rest
        return
    count = max(1, -(-int(rest.estimated_size()) // PIECE_BYTES), -(-rest.height // MAX_ROWS))
    size = -(-rest.height // count)
    for start in range(0, rest.height, size):
        piece = rest.slice(start, size)
        yield skip + start + piece.height, piece
