"""Rows in PostgreSQL's binary COPY format, built by columns.

PostgreSQL takes a row in this form for two thirds of what reading it from text costs, and nothing has to be quoted or
written out: what it stores is what the column holds. Each value is sent as its length and its bytes, so the Arrow type
of a column decides which type it has to have in PostgreSQL (`schemas.columns`). A slice is put together so:

- fixed widths that stand beside each other become one block, filled column by column;
- a fixed width with nulls among its values is a block of its own, in which a null row is the mark of a null;
- texts and bytes lie between the blocks, and one join puts every row together.

No value is taken for another: a moment before all that PostgreSQL has is sent as one that it refuses, because the least
count of all would mean infinity there. It must not know: tables, connections, and what the columns are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.review import numeric
from schemas.errors import Fatal

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END: Final = b"\xff\xff"
SLICE: Final = 32_768  # rows that are built at one time

Field = tuple[str, int | NDArray[np.generic]]  # the type of a part of a row, and its value in every row

_NULL: Final = b"\xff\xff\xff\xff"
_WHOLE: Final = {pa.int16(): "i2", pa.int32(): "i4", pa.int64(): "i8"}
_NOTHING: Final = {kind: pa.scalar("", kind) for kind in (pa.string(), pa.binary())}
_LENGTH: Final = ">i4"
_DAYS: Final = 10_957  # from 1970-01-01, where Arrow counts from, to 2000-01-01
_MICROSECONDS: Final = _DAYS * 86_400_000_000


def slices(table: pa.Table, at_once: int = SLICE) -> Iterator[memoryview]:
    """The rows that one COPY has to be sent, no more than `at_once` of them in a piece."""
    for part in table.to_batches(max_chunksize=at_once):
        yield _rows(part)


def is_text(kind: pa.DataType) -> bool:
    """Whether values are of any length: such columns go last, so that as many others as can be make one block."""
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _rows(part: pa.RecordBatch) -> memoryview:
    height = part.num_rows
    pieces: list[pa.Array] = []
    block: list[Field] = [(">i2", part.num_columns)]
    for name, column in zip(part.schema.names, part.columns, strict=True):
        if is_text(column.type):
            lengths, content = _content(column)
            pieces += [_block([*block, (_LENGTH, lengths)], height), content]
            block = []
        elif column.null_count:
            pieces += [_block(block, height)] if block else []
            pieces.append(_block(_fixed(name, column), height, column.is_valid().to_numpy(zero_copy_only=False)))
            block = []
        else:
            block += _fixed(name, column)
    pieces += [_block(block, height)] if block else []
    pieces.append(_NOTHING[pa.binary()])  # what stands between two of them
    return _bytes(pc.binary_join_element_wise(*pieces, null_handling="replace", null_replacement=_NULL))


def _content(column: pa.Array) -> tuple[NDArray[np.generic], pa.Array]:
    """The lengths of texts or bytes, and the bytes, of which a null has none."""
    lengths = np.diff(_offsets(column))
    if column.null_count:
        there = column.is_valid().to_numpy(zero_copy_only=False)
        if lengths[~there].any():  # who wrote the batch may have left what was there
            column = column.fill_null(_NOTHING[column.type])
            lengths = np.diff(_offsets(column))
        lengths = np.where(there, lengths, -1)
    bare = pa.Array.from_buffers(pa.binary(), len(column), [None, *column.buffers()[1:]], offset=column.offset)
    return lengths, bare


def _block(fields: list[Field], height: int, there: NDArray[np.bool_] | None = None) -> pa.Array:
    """Fields of every row beside each other, as bytes; null where a row's value is not there."""
    rows = np.empty(height, [(f"f{n}", form) for n, (form, _) in enumerate(fields)])
    for n, (_, values) in enumerate(fields):
        rows[f"f{n}"] = values
    offsets = np.arange(height + 1, dtype=np.int32) * np.int32(rows.itemsize)
    known = None if there is None else pa.py_buffer(np.packbits(there, bitorder="little"))
    buffers = [known, pa.py_buffer(offsets), pa.py_buffer(rows.view(np.uint8))]
    return pa.Array.from_buffers(pa.binary(), height, buffers)


def _fixed(name: str, column: pa.Array) -> list[Field]:
    """The length of a value and its parts; they mean nothing where the value is null."""
    parts = numeric.parts(column) if pa.types.is_decimal128(column.type) else [_number(name, column)]
    return [(_LENGTH, sum(np.dtype(form).itemsize for form, _ in parts)), *parts]


def _number(name: str, column: pa.Array) -> Field:
    kind = column.type
    if pa.types.is_boolean(kind):
        return "u1", _values(column.cast(pa.uint8()), "u1")
    if kind in _WHOLE:
        return ">" + _WHOLE[kind], _values(column, _WHOLE[kind])
    if pa.types.is_float64(kind):
        numbers = _values(column, "f8")
        odd = np.isnan(numbers)  # of all NaNs the one that PostgreSQL writes
        return ">f8", np.where(odd, np.nan, numbers) if odd.any() else numbers
    if pa.types.is_date32(kind):
        return ">i4", _since_2000(_values(column, "i4"), _DAYS)
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        return ">i8", _since_2000(_values(column, "i8"), _MICROSECONDS)
    raise Fatal(f"column {name} is {kind}, for which the review store has no type")


def _values(array: pa.Array, form: str) -> NDArray[Any]:
    return np.frombuffer(array.buffers()[1], form, len(array), np.dtype(form).itemsize * array.offset)


def _since_2000(counts: NDArray[Any], shift: int) -> NDArray[Any]:
    least = np.iinfo(counts.dtype).min + 1  # the number below it stands for minus infinity
    since: NDArray[Any] = np.maximum(counts, least + shift) - shift
    return since


def _offsets(array: pa.Array) -> NDArray[np.int32]:
    return np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, 4 * array.offset)


def _bytes(array: pa.Array) -> memoryview:
    offsets = _offsets(array)
    return memoryview(array.buffers()[2])[int(offsets[0]) : int(offsets[-1])]
