"""Typed columns of another system become columns of the declared types.

Always holds: a value that the declared type cannot hold exactly is refused, never rounded; text is read as the
value it spells. A column that could never fit is an error of the task, found before the first row.
"""

from __future__ import annotations

from typing import Final

import orjson
import polars as pl
import pyarrow as pa

from connectors.sources.formats.rejected import Refusals
from connectors.sources.formats.shape import Shape
from connectors.sources.formats.texts import TextOptions, read_text, with_nul
from schemas.columns import polars_type
from schemas.errors import Fatal
from schemas.task.model import Column

_FINER: Final = 1000  # nanoseconds in a microsecond


class Misfit(ValueError):
    """No value of the source's type is of the declared one."""


def read_table(
    table: pa.Table | pa.RecordBatch, shape: Shape, label: str, options: TextOptions
) -> tuple[pl.DataFrame, Refusals]:
    """The wanted columns of a batch whose columns bear the source's names."""
    refusals = Refusals()
    typed = []
    present = set(table.schema.names)
    for name, column in shape.wanted.items():
        theirs = shape.theirs(name)
        if theirs not in present:
            typed.append(shape.empty(table.num_rows, name))
            continue
        values = _series(table.column(theirs), label, theirs)
        try:
            read, reason = read_values(values, column, options)
        except Misfit as error:
            raise Fatal(f"{label}: column {theirs} is {error}, which is no {column.type}") from error
        typed.append(read.alias(name))
        if read.null_count() != values.null_count():
            bad = read.is_null() & values.is_not_null()
            if values.dtype == pl.String:  # nothing but blanks spells no value
                bad &= values.str.strip_chars(" \t") != ""
            refusals.add(name, reason, bad.arg_true())
        if read.dtype == pl.String:
            refusals.add(name, "has a NUL character, which a string cannot hold", with_nul(read))
    return pl.DataFrame(typed), refusals


def _series(values: pa.Array | pa.ChunkedArray, label: str, name: str) -> pl.Series:
    try:
        series = pl.from_arrow(values)
    except (pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise Fatal(f"{label}: column {name} is of type {values.type}, which cannot be read") from error
    assert isinstance(series, pl.Series)  # noqa: S101 - an array is a series
    return series.cast(pl.String) if isinstance(series.dtype, pl.Categorical | pl.Enum) else series


def read_values(values: pl.Series, column: Column, options: TextOptions) -> tuple[pl.Series, str]:
    """Values, null where one does not fit, and the reason for those."""
    kind = values.dtype
    wanted = polars_type(column.type, column.scale)
    if kind == pl.Null:
        return values.cast(wanted), ""
    if kind.is_nested():
        if column.type != "json":
            raise Misfit(f"of the nested type {kind}")
        return _nested(values), "cannot be told as JSON"
    if kind == pl.Binary and column.type in ("string", "json"):
        values, kind = _decoded(values), pl.String()
    if kind == pl.String:
        read, reason = read_text(values, column, options)
        return read, reason or "is not valid UTF-8"
    reason = f"does not fit into {'an' if column.type == 'int64' else 'a'} {column.type}"
    match column.type:
        case "int64":
            return _int64(values), reason
        case "float64":
            return _float64(values, options), reason
        case "timestamp":
            return _timestamp(values), reason
        case "decimal":
            return _decimal(values, column, options), f"{reason} of scale {column.scale}"
        case "json" if kind.is_numeric() or kind == pl.Boolean:
            return _finite(values).cast(pl.String), reason
        case "string" if kind.is_numeric() or kind in (pl.Boolean, pl.Date, pl.Time):
            return values.cast(pl.String), reason
    if kind == wanted:
        return values, reason
    raise Misfit(_named(kind))


def _named(kind: pl.DataType) -> str:
    return f"of type {kind}"


def _numeric(values: pl.Series) -> pl.Series:
    if not values.dtype.is_numeric():
        raise Misfit(_named(values.dtype))
    return values


def _int64(values: pl.Series) -> pl.Series:
    read = _numeric(values).cast(pl.Int64, strict=False)
    if values.dtype.is_integer():
        return read
    limit = 2.0**63
    inside = (values < limit) & (values >= -limit) if values.dtype.is_float() else values.is_not_null()
    same = (read.cast(values.dtype, strict=False) == values) & inside
    return read.set(~same.fill_null(True), None)


def _finite(values: pl.Series) -> pl.Series:
    if not values.dtype.is_float():
        return values
    return values.set(~values.is_finite().fill_null(True), None)


def _float64(values: pl.Series, options: TextOptions) -> pl.Series:
    read = _numeric(values).cast(pl.Float64)
    return read if options.allow_nan else _finite(read)


def _decimal(values: pl.Series, column: Column, options: TextOptions) -> pl.Series:
    wanted = polars_type(column.type, column.scale)
    if values.dtype == wanted:
        return values
    if _numeric(values).dtype.is_integer():
        return values.cast(wanted, strict=False)
    if isinstance(values.dtype, pl.Decimal) and values.dtype.scale <= column.scale:
        return values.cast(wanted, strict=False)
    return read_text(_finite(values).cast(pl.String), column, options)[0]  # by the digits it is written with


def _timestamp(values: pl.Series) -> pl.Series:
    kind = values.dtype
    if kind == pl.Date:
        return values.cast(pl.Datetime("us", "UTC"))
    if not isinstance(kind, pl.Datetime):
        raise Misfit(_named(kind))
    if kind.time_unit == "ns":
        values = values.set((values.to_physical() % _FINER != 0).fill_null(False), None)
    read = values.cast(pl.Datetime("us", kind.time_zone))
    return read.dt.replace_time_zone("UTC") if kind.time_zone is None else read.dt.convert_time_zone("UTC")


def _decoded(values: pl.Series) -> pl.Series:
    """Bytes as the text they are in UTF-8; null where they are not."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:  # some are not: each is looked at
        return pl.Series([None if value is None else _text(value) for value in values], dtype=pl.String)


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _nested(values: pl.Series) -> pl.Series:
    texts = []
    for value in values.to_list():
        try:
            texts.append(None if value is None else orjson.dumps(value).decode())
        except (orjson.JSONEncodeError, TypeError):
            texts.append(None)
    return pl.Series(texts, dtype=pl.String)
