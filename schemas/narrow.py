"""A table on its way: integers as narrow as their values are, texts as their lengths and, apart, their bytes, tokens
as their bits.

Offsets of texts are four bytes a value that hardly any compression makes smaller, and most integers use one or two
of their eight. Narrowing costs a look at the least and the greatest value. What a column was stands in its field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from schemas import tokens
from schemas.errors import Fatal

_WAS: Final = b"was"
_TOKEN: Final = b"token"
_TEXTS: Final[dict[Any, bytes]] = {pl.String: b"string", pl.Binary: b"binary"}
_INTEGERS: Final[dict[Any, tuple[bytes, int]]] = {  # with their bytes
    pl.Int64: (b"int64", 8),
    pl.UInt64: (b"uint64", 8),
    pl.Int32: (b"int32", 4),
    pl.UInt32: (b"uint32", 4),
}
_TYPES: Final = {
    b"string": pa.string(),
    b"binary": pa.binary(),
    b"int64": pa.int64(),
    b"uint64": pa.uint64(),
    b"int32": pa.int32(),
    b"uint32": pa.uint32(),
}
_LARGE: Final = {b"string": pa.large_string(), b"binary": pa.large_binary()}
_UNSIGNED: Final = ((pl.UInt8, 1), (pl.UInt16, 2), (pl.UInt32, 4))
_SIGNED: Final = ((pl.Int8, 1), (pl.Int16, 2), (pl.Int32, 4))
_MOST: Final = 2**31 - 1  # bytes that offsets of 32 bits can tell

Widen = Callable[[pa.Array], pa.Array]
Ends = np.ndarray[tuple[int], np.dtype[np.int64]]


class Text(NamedTuple):
    """The bytes of a column, and where each value ends: one more number than there are rows."""

    data: pa.Buffer
    ends: Ends

    def between(self, start: int, stop: int) -> pa.Buffer:
        first = int(self.ends[start])
        return self.data.slice(first, int(self.ends[stop]) - first)


class Narrow(NamedTuple):
    fixed: pa.RecordBatch  # a column for each of the table; of a text its lengths
    texts: list[Text]  # in the order of their columns


def narrow(frame: pl.DataFrame) -> Narrow:
    arrays: list[pa.Array] = []
    fields: list[pa.Field] = []
    texts: list[Text] = []
    for series in frame.iter_columns():
        was = _TEXTS.get(series.dtype)
        if was is not None:
            array, text = _lengths(series)
            texts.append(text)
        else:
            array, was = _fixed(series)
        arrays.append(array)
        fields.append(pa.field(series.name, array.type, metadata={_WAS: was} if was else None))
    return Narrow(pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)), texts)


def _lengths(series: pl.Series) -> tuple[pa.Array, Text]:
    if series.null_count() == len(series):
        return pa.nulls(len(series)), Text(pa.py_buffer(b""), np.zeros(len(series) + 1, dtype=np.int64))
    array = _arrow(series)
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    first, last = int(ends[0]), int(ends[-1])
    lengths = np.diff(ends)
    most = int(lengths.max(initial=0))
    narrowed = lengths.astype(np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.uint32)
    nulls = series.is_null().to_numpy() if series.null_count() else None
    return pa.array(narrowed, mask=nulls), Text(data.slice(first, last - first), ends - first if first else ends)


def _fixed(series: pl.Series) -> tuple[pa.Array, bytes]:
    was, size = _INTEGERS.get(series.dtype, (b"", 0))
    if series.dtype == tokens.BITS:
        return tokens.packed(series), _TOKEN
    if not size:
        return _arrow(series), b""
    if series.null_count() == len(series):
        return pa.nulls(len(series)), was
    least: Any = series.min()
    most: Any = series.max()
    for kind, width in _UNSIGNED if least >= 0 else _SIGNED:
        bits = 8 * width - (least < 0)
        if width < size and most < 1 << bits and -least <= 1 << bits:
            return _arrow(series.cast(kind, wrap_numerical=True)), was
    return _arrow(series), b""


def _arrow(series: pl.Series) -> pa.Array:
    return series.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def widen(fixed: pa.RecordBatch, texts: Sequence[pa.Buffer]) -> pa.Table:
    """The table that was narrowed."""
    return Narrowed(fixed, texts).take(None)


class Narrowed:
    """A narrowed table of which some rows are wanted: others are passed over before they cost anything."""

    def __init__(self, fixed: pa.RecordBatch, texts: Sequence[pa.Buffer]) -> None:
        if len(texts) != len(texts_of(fixed.schema)):
            raise Fatal(f"a batch has {len(texts_of(fixed.schema))} columns of texts, and {len(texts)} came with it")
        held = iter(texts)
        self._names = fixed.schema.names
        self._columns: list[tuple[pa.Array, Widen | None]] = []  # with what is still to be done
        for field, column in zip(fixed.schema, fixed.columns, strict=True):
            was = (field.metadata or {}).get(_WAS)
            if was in _LARGE:
                self._columns.append((_text(column, next(held), was), None))
            else:
                self._columns.append((column, None if was is None else _widening(was)))

    def take(self, places: pa.Array | None) -> pa.Table:
        """The rows at these places, or all."""
        arrays = []
        for column, widened in self._columns:
            taken = column if places is None else column.take(places)
            arrays.append(taken if widened is None else widened(taken))
        return pa.Table.from_arrays(arrays, names=self._names)


def _widening(was: bytes) -> Widen:
    if was == _TOKEN:
        return tokens.texts
    if was not in _TYPES:
        raise Fatal(f"a column of a batch was {was!r}, which this version does not know")
    return lambda narrowed: narrowed.cast(_TYPES[was], safe=False)


def texts_of(schema: pa.Schema) -> tuple[int, ...]:
    """The columns that have their bytes apart."""
    return tuple(number for number, field in enumerate(schema) if (field.metadata or {}).get(_WAS) in _LARGE)


def sizes(lengths: pa.Array, starts: Sequence[int]) -> list[int]:
    """How many bytes a text has from each of these rows, of which none is twice, to the next one."""
    if pa.types.is_null(lengths.type):
        return [0] * len(starts)
    found: list[int] = np.add.reduceat(_values(lengths), starts, dtype=np.int64).tolist()
    return found


def _values(lengths: pa.Array) -> np.ndarray[tuple[int], np.dtype[Any]]:
    """Where a value is null its length stands there all the same."""
    held = np.frombuffer(lengths.buffers()[1], dtype=lengths.type.to_pandas_dtype())
    return held[lengths.offset : lengths.offset + len(lengths)]


def _text(lengths: pa.Array, data: pa.Buffer, was: bytes) -> pa.Array:
    small = data.size <= _MOST
    kind = _TYPES[was] if small else _LARGE[was]
    if pa.types.is_null(lengths.type):
        return pa.nulls(len(lengths), kind)
    start = lengths.offset
    ends = np.zeros(start + len(lengths) + 1, dtype=np.int32 if small else np.int64)
    np.cumsum(_values(lengths), out=ends[start + 1 :])
    if int(ends[-1]) != data.size:
        raise Fatal("the texts of a batch are not as long as it says")
    buffers = [lengths.buffers()[0], pa.py_buffer(ends), data]
    return pa.Array.from_buffers(kind, len(lengths), buffers, lengths.null_count, start)
