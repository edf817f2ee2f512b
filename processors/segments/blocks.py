"""Opened blocks of segments, and their rows together by hash.

Of a block few rows may be wanted, so they are picked before anything is widened. Blocks that were narrowed alike are
joined: all at once costs least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from processors.segments.sieve import Hashes
from schemas.batch import frame_of
from schemas.columns import HASH
from schemas.narrow import Narrowed, sizes

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
Places = np.ndarray[tuple[int], np.dtype[np.int64]]


class Block(NamedTuple):
    """Some rows of a segment, as they were narrowed."""

    fixed: pa.RecordBatch
    texts: list[pa.Buffer]
    hashes: Hashes
    layout: str  # the same for blocks that were narrowed alike
    lengths: tuple[int, ...]  # which columns are lengths of texts

    def cut(self, starts: Sequence[int]) -> list[Block]:
        """Its pieces, of which each begins at one of these rows: from 0 on, ascending, none twice. Without a copy."""
        texts: list[list[pa.Buffer]] = [[] for _ in starts]
        for text, number in zip(self.texts, self.lengths, strict=True):
            at = 0
            for piece, size in zip(texts, sizes(self.fixed.column(number), starts), strict=True):
                piece.append(text.slice(at, size))
                at += size
        return [
            Block(self.fixed.slice(start, stop - start), piece, self.hashes[start:stop], self.layout, self.lengths)
            for start, stop, piece in zip(starts, [*starts[1:], len(self.hashes)], texts, strict=True)
        ]


class _Joined:
    def __init__(self, blocks: list[Block]) -> None:
        self.hashes: Hashes = np.concatenate([block.hashes for block in blocks])
        fixed = pa.concat_batches([block.fixed for block in blocks])
        texts = [pa.py_buffer(b"".join(pieces)) for pieces in zip(*(block.texts for block in blocks), strict=True)]
        self._rows = Narrowed(fixed, texts)

    def take(self, places: Places) -> pl.DataFrame:
        frame = frame_of(self._rows.take(pa.array(places)))
        return frame.with_columns(pl.Series(HASH, self.hashes[places], dtype=pl.UInt64))


def _joined(blocks: Iterable[Block]) -> list[_Joined]:
    alike: dict[str, list[Block]] = {}
    for block in blocks:
        alike.setdefault(block.layout, []).append(block)
    return [_Joined(some) for some in alike.values()]


def _as_one(frames: list[pl.DataFrame]) -> pl.DataFrame | None:
    if len(frames) < 2:
        return frames[0] if frames else None
    # Diagonal: what an earlier version stored may have columns that are let go by now.
    return pl.concat(frames, how="diagonal", rechunk=True).sort(HASH, maintain_order=True)


def together(blocks: Iterable[Block]) -> pl.DataFrame | None:
    """The rows of blocks, sorted by hash; None where there is none.

    Not stable: what rows of one hash say does not depend on their order.
    """
    return _as_one([joined.take(np.argsort(joined.hashes)) for joined in _joined(blocks) if len(joined.hashes)])


def chosen(blocks: Iterable[Block], choose: Callable[[Hashes], Mask]) -> pl.DataFrame | None:
    """The same of those whose hashes are chosen."""
    found: list[pl.DataFrame] = []
    for joined in _joined(blocks):
        places = np.flatnonzero(choose(joined.hashes))
        if len(places):
            found.append(joined.take(places[np.argsort(joined.hashes[places])]))
    return _as_one(found)
