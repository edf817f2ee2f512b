"""A batch as bytes: one Arrow IPC stream. The schema travels with the rows, so any Arrow reader can open it."""

from __future__ import annotations

import re
from typing import Final

import polars as pl
import pyarrow as pa

from schemas.errors import Fatal

MAX_ROWS: Final = 65_536
MAX_BYTES: Final = 4 * 1024 * 1024  # what a batch aims at; a record larger than that goes alone

_NARROW: Final = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
_NUL: Final = re.compile(rb"\0")
# zstd sends and stores a third less, and costs more than twice the processor time: see record 1.
_OPTIONS = pa.ipc.IpcWriteOptions(compression=pa.Codec("lz4"))
_END: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # without it a reader takes a stream that was cut off for a whole one


def arrow_of(frame: pl.DataFrame) -> pa.Table:
    """With offsets of 32 bits, which are half the work to pack: no column of a batch holds 2 GB."""
    table = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    return table.cast(pa.schema([field.with_type(_NARROW.get(field.type, field.type)) for field in table.schema]))


def encode(frame: pl.DataFrame) -> bytes:
    table = arrow_of(frame)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def decode(payload: bytes | memoryview) -> pl.DataFrame:
    return frame_of(table_of(payload))


def frame_of(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        raise Fatal("a batch is not a table")
    return frame


def table_of(payload: bytes | memoryview) -> pa.Table:
    """As Arrow has it."""
    if bytes(payload[-len(_END) :]) != _END:
        raise Fatal("a batch is not an Arrow stream, or not a whole one")
    try:
        with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
            return reader.read_all()
    except (pa.ArrowException, OSError) as error:
        raise Fatal("a batch is not an Arrow stream") from error


def holds_nul(table: pa.Table) -> bool:
    """Whether a text of a decoded batch may hold U+0000: a look at the bytes, a tenth of one at the texts."""
    texts = (chunk for column in table.columns if pa.types.is_string(column.type) for chunk in column.chunks)
    return any(_NUL.search(memoryview(data)) for text in texts if (data := text.buffers()[2]) is not None)
