"""Cuts a chunk into what fits a message, and says where in it an earlier owner stopped."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from connectors.sources.contract import Chunk
from schemas import batch


def left(chunk: Chunk, skip: int) -> int:
    """How many rows behind the chunk were sent before: a source may give smaller chunks when it is read again."""
    return max(0, skip - chunk.frame.height)


def pieces(frame: pl.DataFrame, skip: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """(how many rows of the chunk are behind it, the piece); one empty piece where nothing is left."""
    rest = frame.slice(skip)
    behind = frame.height - rest.height
    for piece in batch.pieces(rest):
        behind += piece.height
        yield behind, piece
