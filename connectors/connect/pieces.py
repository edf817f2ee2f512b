"""Cuts a chunk into what fits a message, and says where in it an earlier owner stopped."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from connectors.sources.contract import Chunk
from schemas import batch


class Sent(NamedTuple):
    """How much of a chunk stands in the log."""

    rows: int = 0
    rejects: int = 0

    def behind(self, chunk: Chunk) -> Sent:
        """The same of the next chunk: a source may give smaller ones when it is read again."""
        return Sent(max(0, self.rows - chunk.frame.height), max(0, self.rejects - chunk.rejects.height))


class Piece(NamedTuple):
    rows: pl.DataFrame
    rejects: pl.DataFrame
    sent: Sent  # with this piece


def pieces(chunk: Chunk, sent: Sent) -> list[Piece]:
    """What was not sent, the rows first; one empty piece where that is nothing."""
    rows, rejects = chunk.frame.slice(sent.rows), chunk.rejects.slice(sent.rejects)
    no_rows, no_rejects = rows.clear(), rejects.clear()
    cut = [(part, no_rejects) for part in batch.pieces(rows)]
    if rejects.height:
        if batch.most_bytes(cut[-1][0]) + batch.most_bytes(rejects) <= batch.PIECE_BYTES:
            cut[-1] = (cut[-1][0], rejects)
        else:
            cut = [*(cut if rows.height else []), *((no_rows, part) for part in batch.pieces(rejects))]
    done = sent  # may reach behind the end of the chunk, where nothing is sent of it
    found: list[Piece] = []
    for part, fallen in cut:
        done = Sent(done.rows + part.height, done.rejects + fallen.height)
        found.append(Piece(part, fallen, done))
    return found
