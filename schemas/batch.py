"""A batch as bytes: Arrow IPC streams. What is in them travels with the rows, so any Arrow reader can open them.

The first holds a column for each of the table, narrowed (`schemas/narrow.py`); the second, where there are texts,
one row with all bytes of each text column, packed by lz4 where that pays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.errors import Fatal
from schemas.narrow import narrow, texts_of, widen

MAX_ROWS: Final = 65_536
PIECE_BYTES: Final = 10 << 20  # of rows that go into one message, at most; a message may take 16 MiB

_SIZE: Final = b"size"  # of a text that is packed
_CODEC: Final = pa.Codec("lz4_raw")
_LOOK: Final = 16_384  # bytes of a column that tell whether packing it pays
_PAYS: Final = 0.6  # of its size: what packs worse costs more to pack than to send
_END: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # without it a reader takes a stream that was cut off for a whole one
_NONE: Final = "a batch is not an Arrow stream, or not a whole one"


def encode(frame: pl.DataFrame) -> bytes:
    fixed, texts = narrow(frame)
    parts = [fixed]
    if texts:
        parts.append(_apart([text.data for text in texts]))
    # Room for all of it at once: a sink that grows copies what it holds.
    room = sum(part.schema.serialize().size + pa.ipc.get_record_batch_size(part) + len(_END) for part in parts)
    made = pa.allocate_buffer(room)
    with pa.FixedSizeBufferWriter(made) as sink:
        for part in parts:
            with pa.ipc.new_stream(sink, part.schema) as writer:
                writer.write_batch(part)
        size = sink.tell()
    return bytes(memoryview(made)[:size])


def _apart(texts: list[pa.Buffer]) -> pa.RecordBatch:
    """One row: all bytes of a column as one value."""
    arrays, fields = [], []
    for number, data in enumerate(texts):
        packed = _CODEC.compress(data) if _pays(data) else None
        held = data if packed is None else packed
        ends = pa.py_buffer(np.array([0, held.size], dtype=np.int64))
        arrays.append(pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, held], 0))
        size = None if packed is None else {_SIZE: str(data.size)}
        fields.append(pa.field(str(number), pa.large_binary(), metadata=size))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _pays(data: pa.Buffer) -> bool:
    """Whether packing a column's bytes takes less processor time than sending what it saves, by a look at some."""
    start = max(0, data.size - _LOOK) // 2
    some = data.slice(start, min(_LOOK, data.size))
    return bool(some.size) and bool(_CODEC.compress(some).size < _PAYS * some.size)


def most_bytes(frame: pl.DataFrame) -> int:
    """No batch of these rows is larger, but for what describes its columns. Estimates leave lengths of texts out."""
    texts = sum(kind in (pl.String, pl.Binary) for kind in frame.dtypes)
    return int(frame.estimated_size()) + 4 * texts * frame.height


def pieces(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Parts of a frame that fit a message each, in order, one at least; a record larger than that goes alone."""
    count = max(1, -(-most_bytes(frame) // PIECE_BYTES), -(-frame.height // MAX_ROWS))
    if count == 1 or frame.height < 2:
        yield frame
        return
    for part in frame.iter_slices(-(-frame.height // count)):
        yield from pieces(part)  # again, since some may be wider than others


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
        raise Fatal(_NONE)
    try:
        source = pa.BufferReader(pa.py_buffer(payload))
        fixed = _stream(source)
        apart = _stream(source) if texts_of(fixed.schema) else None
        return widen(fixed, [] if apart is None else list(map(_text, apart.schema, apart.columns)))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Fatal(_NONE) from error


def _text(field: pa.Field, column: pa.Array) -> pa.Buffer:
    _, ends, data = column.buffers()  # a value by itself would be a copy
    first, last = np.frombuffer(ends, dtype=np.int64)[column.offset : column.offset + 2].tolist()
    held = data.slice(first, last - first)
    size = (field.metadata or {}).get(_SIZE)
    return held if size is None else _CODEC.decompress(held, decompressed_size=int(size))


def _stream(source: pa.BufferReader) -> pa.RecordBatch:
    with pa.ipc.open_stream(source) as reader:
        pieces = list(reader)
    if len(pieces) != 1:
        raise Fatal(_NONE)
    pieces[0].validate()  # that its columns are as long as it says: Arrow's reader believes it
    return pieces[0]


def holds_nul(table: pa.Table) -> bool:
    """Whether a text of a decoded batch may hold U+0000: a look at the bytes, a tenth of one at the texts."""
    texts = (chunk for column in table.columns if pa.types.is_string(column.type) for chunk in column.chunks)
    held = (text.buffers()[2] for text in texts)
    return any(data is not None and data.size and not np.frombuffer(data, dtype=np.uint8).min() for data in held)
