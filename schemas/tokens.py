"""Tokens: 128 bits each, on their way as they are, and the text that they stand for wherever somebody reads them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from schemas.errors import Fatal

SIZE: Final = 16
BITS: Final = pl.Array(pl.UInt8, SIZE)  # the type of a column of tokens that nobody reads
KIND: Final = pa.binary(SIZE)  # the same in a batch
PREFIX: Final = "tok_"

Blocks = npt.NDArray[np.uint8]  # a row of bytes to each token

_HEX: Final = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype=np.uint16)


def digits(blocks: Blocks, prefix: str = PREFIX) -> npt.NDArray[np.uint8]:
    """Each as hexadecimal digits behind a prefix, a row of characters to each."""
    start = prefix.encode()
    found = np.empty((len(blocks), len(start) + 2 * blocks.shape[1]), dtype=np.uint8)
    found[:, : len(start)] = np.frombuffer(start, dtype=np.uint8)
    found[:, len(start) :] = _HEX[blocks].view(np.uint8)
    return found


def column(name: str, blocks: Blocks, missing: npt.NDArray[np.bool_] | None) -> pl.Series:
    """A column of BITS, null where a token is missing."""
    mask = None if missing is None else pa.array(missing)
    return pl.Series(name, pa.FixedSizeListArray.from_arrays(pa.array(blocks.reshape(-1)), SIZE, mask=mask), dtype=BITS)


def packed(series: pl.Series) -> pa.Array:
    """A column of BITS as it stands in a batch."""
    array = series.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    held = array.values
    data = held.buffers()[1].slice(held.offset)
    return pa.Array.from_buffers(KIND, len(array), [array.buffers()[0], data], array.null_count, array.offset)


def texts(tokens: pa.Array) -> pa.Array:
    """What they stand for; null where there is none."""
    if tokens.type != KIND:
        raise Fatal(f"a batch has tokens that are {tokens.type}, and they are {KIND}")
    blocks = np.frombuffer(tokens.buffers()[1], dtype=np.uint8)[SIZE * tokens.offset :][: SIZE * len(tokens)]
    blocks = blocks.reshape(-1, SIZE)
    there = tokens.is_valid().to_numpy(zero_copy_only=False) if tokens.null_count else None
    written = digits(blocks if there is None else blocks[there])
    ends = np.zeros(len(tokens) + 1, dtype=np.int64)
    ends[1:] = np.cumsum(np.ones(len(tokens), dtype=np.bool_) if there is None else there) * written.shape[1]
    small = int(ends[-1]) < 1 << 31
    known = None if there is None else pa.py_buffer(np.packbits(there, bitorder="little"))
    buffers = [known, pa.py_buffer(ends.astype(np.int32) if small else ends), pa.py_buffer(written)]
    return pa.Array.from_buffers(pa.string() if small else pa.large_string(), len(tokens), buffers)
