"""Rows in PostgreSQL's binary COPY format, built by columns.

PostgreSQL takes a row in this form for two thirds of what reading it from text costs, and nothing has to be quoted or
written out: what it stores is what the column holds. Each value is sent as its length and its bytes, so the polars type
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
import polars as pl
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
_WHOLE: Final[dict[pl.DataType, str]] = {pl.Int16(): "i2", pl.Int32(): "i4", pl.Int64(): "i8"}
_BETWEEN: Final = pa.scalar(b"", pa.large_binary())
_LENGTH: Final = ">i4"
_DAYS: Final = 10_957  # from 1970-01-01, where polars counts from, to 2000-01-01
_MICROSECONDS: Final = _DAYS * 86_400_000_000


def stream(frame: pl.DataFrame, at_once: int = SLICE) -> Iterator[bytes | memoryview]:
    """Everything that one COPY has to be sent; no more than `at_once` rows of it are there at one time."""
    yield SIGNATURE
    for part in frame.iter_slices(at_once) if frame.height else ():
        yield _rows(part)
    yield END


def _rows(frame: pl.DataFrame) -> memoryview:
    height = frame.height
    pieces: list[pa.Array] = []
    block: list[Field] = [(">i2", frame.width)]
    for column in frame:
        if column.dtype in (pl.String, pl.Binary):
            lengths, content = _content(column)
            pieces += [_block([*block, (_LENGTH, lengths)], height), content]
            block = []
        elif column.null_count():
            pieces += [_block(block, height)] if block else []
            pieces.append(_block(_fixed(column), height, column.is_not_null().to_numpy()))
            block = []
        else:
            block += _fixed(column)
    pieces += [_block(block, height)] if block else []
    return _bytes(pc.binary_join_element_wise(*pieces, _BETWEEN, null_handling="replace", null_replacement=_NULL))


def _content(column: pl.Series) -> tuple[NDArray[np.generic], pa.Array]:
    """The lengths of texts or bytes, and the bytes, of which a null has none."""
    array = column.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_binary())
    lengths = np.diff(_offsets(array))
    if not array.null_count:
        return lengths, array
    there = array.is_valid().to_numpy(zero_copy_only=False)
    if lengths[~there].any():  # an expression of polars may leave what was there
        array = array.fill_null(b"")
        lengths = np.diff(_offsets(array))
    bare = pa.Array.from_buffers(array.type, len(array), [None, *array.buffers()[1:]], offset=array.offset)
    return np.where(there, lengths, -1), bare


def _block(fields: list[Field], height: int, there: NDArray[np.bool_] | None = None) -> pa.Array:
    """Fields of every row beside each other, as bytes; null where a row's value is not there."""
    rows = np.empty(height, [(f"f{n}", form) for n, (form, _) in enumerate(fields)])
    for n, (_, values) in enumerate(fields):
        rows[f"f{n}"] = values
    offsets = np.arange(height + 1, dtype=np.int64) * rows.itemsize
    known = None if there is None else pa.py_buffer(np.packbits(there, bitorder="little"))
    buffers = [known, pa.py_buffer(offsets), pa.py_buffer(rows.view(np.uint8))]
    return pa.Array.from_buffers(pa.large_binary(), height, buffers)


def _fixed(column: pl.Series) -> list[Field]:
    """The length of a value and its parts; they mean nothing where the value is null."""
    parts = numeric.parts(column) if isinstance(column.dtype, pl.Decimal) else [_number(column)]
    return [(_LENGTH, sum(np.dtype(form).itemsize for form, _ in parts)), *parts]


def _number(column: pl.Series) -> Field:
    dtype = column.dtype
    if dtype == pl.Boolean:
        return "u1", _values(column.cast(pl.UInt8), "u1")
    if dtype in _WHOLE:
        return ">" + _WHOLE[dtype], _values(column, _WHOLE[dtype])
    if dtype == pl.Float64:
        numbers = _values(column, "f8")
        return ">f8", np.where(np.isnan(numbers), np.nan, numbers)  # of all NaNs the one that PostgreSQL writes
    if dtype == pl.Date:
        return ">i4", _since_2000(_values(column, "i4"), _DAYS)
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "us":
        return ">i8", _since_2000(_values(column, "i8"), _MICROSECONDS)
    raise Fatal(f"column {column.name} is {dtype}, for which the review store has no type")


def _values(column: pl.Series, form: str) -> NDArray[Any]:
    array = column.to_arrow()
    return np.frombuffer(array.buffers()[1], form, len(array), np.dtype(form).itemsize * array.offset)


def _since_2000(counts: NDArray[Any], shift: int) -> NDArray[Any]:
    least = np.iinfo(counts.dtype).min + 1  # the number below it stands for minus infinity
    since: NDArray[Any] = np.maximum(counts, least + shift) - shift
    return since


def _offsets(array: pa.Array) -> NDArray[np.int64]:
    return np.frombuffer(array.buffers()[1], np.int64, len(array) + 1, 8 * array.offset)


def _bytes(array: pa.Array) -> memoryview:
    offsets = _offsets(array)
    return memoryview(array.buffers()[2])[int(offsets[0]) : int(offsets[-1])]
