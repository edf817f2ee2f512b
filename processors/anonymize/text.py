"""Values as text, for methods that write text, and texts of one size as a matrix of their bytes.

A date or timestamp outside the years 1 to 9999 has no text (polars panics over one) and becomes null.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from schemas.columns import ColumnType, polars_type


def within_years(value: pl.Expr, kind: ColumnType) -> pl.Expr:
    """The moment, or null where the calendar does not reach it."""
    last = dt.date(9999, 12, 31) if kind == "date" else dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)
    first, end = (pl.lit(moment).cast(polars_type(kind)) for moment in (dt.date(1, 1, 1), last))
    return pl.when(value.is_between(first, end)).then(value)


def text_of(value: pl.Expr, kind: ColumnType) -> pl.Expr:
    """The value as text."""
    if kind in ("string", "json"):
        return value
    if kind in ("date", "timestamp"):
        value = within_years(value, kind)
    return value.cast(pl.String)


def matrix_of(texts: pl.Series, size: int) -> npt.NDArray[np.uint8]:
    """The bytes of texts of one size, a row to each."""
    array = texts.rechunk().cast(pl.Binary).to_arrow().cast(pa.large_binary())
    data = np.frombuffer(array.buffers()[2], dtype=np.uint8)
    start = array.offset * size
    return data[start : start + len(texts) * size].reshape(-1, size)


def text_of_matrix(matrix: npt.NDArray[np.uint8], fits: npt.NDArray[np.bool_] | None = None) -> pl.Series:
    """A text of each row, null where it does not fit."""
    rows, size = matrix.shape
    offsets = np.arange(0, (rows + 1) * size, size, dtype=np.int64)
    data = np.ascontiguousarray(matrix)
    array = pa.Array.from_buffers(pa.large_string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    texts = pl.Series("text", array)
    return texts if fits is None or fits.all() else texts.set(pl.Series(~fits), None)
