"""A batch as bytes: one Arrow IPC stream. The schema travels with the rows, so any Arrow reader can open it."""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa

from schemas.errors import Fatal

MAX_ROWS: Final = 65_536
MAX_BYTES: Final = 4 * 1024 * 1024  # what a batch aims at; a record larger than that goes alone

# Every byte is sent, checked and stored several times on its way: zstd costs less than it saves.
_OPTIONS = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1))
_END: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # without it a reader takes a stream that was cut off for a whole one


def encode(frame: pl.DataFrame) -> bytes:
    table = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def decode(payload: bytes | memoryview) -> pl.DataFrame:
    if bytes(payload[-len(_END) :]) != _END:
        raise Fatal("a batch is not an Arrow stream, or not a whole one")
    try:
        with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
            frame = pl.from_arrow(reader.read_all())
    except (pa.ArrowException, OSError) as error:
        raise Fatal("a batch is not an Arrow stream") from error
    if not isinstance(frame, pl.DataFrame):
        raise Fatal("a batch is not a table")
    return frame
