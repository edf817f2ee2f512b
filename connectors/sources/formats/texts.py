"""Columns of text become columns of the declared types.

Always holds: a text that is not null becomes exactly the value that it spells, or the row is refused with a
reason; nothing is rounded, cut or turned into null. Blanks around anything but strings are ignored, and a
text of nothing but blanks is null there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any, Final

import orjson
import polars as pl
import pyarrow as pa

from connectors.sources.formats.rejected import Refusals
from connectors.sources.formats.times import read_date, read_timestamp
from schemas.columns import DECIMAL_PRECISION
from schemas.task.model import Column


@dataclass(frozen=True)
class TextOptions:
    allow_nan: bool = False
    date_formats: tuple[str, ...] = ()
    timestamp_formats: tuple[str, ...] = ()

    @staticmethod
    def told(options: Mapping[str, Any]) -> TextOptions:
        """As a source's options say, which one of files in a store is told among the options of their format."""
        whole = {**options, **(options.get("options") or {})}
        formats = (tuple(whole.get(name) or ()) for name in ("date_formats", "timestamp_formats"))
        return TextOptions(bool(whole.get("allow_nan")), *formats)


def is_utf8(data: bytes | memoryview) -> bool:
    """Checks a whole block at the speed of memory, which bytes.decode is far from."""
    around = pa.py_buffer(struct.pack("<qq", 0, len(data)))
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, around, pa.py_buffer(data)])
    try:
        pl.Series(whole).cast(pl.String)
    except pl.exceptions.ComputeError:
        return False
    return True


def read_texts(
    frame: pl.DataFrame, columns: dict[str, Column], options: TextOptions, nul: bool = True
) -> tuple[pl.DataFrame, Refusals]:
    """The frame's columns of text as the declared types, and the rows that do not spell such a value.

    `nul`: whether there may be a NUL character at all.
    """
    refusals = Refusals()
    typed = []
    for name, column in columns.items():
        texts = frame[name]
        values, reason = read_text(texts, column, options)
        typed.append(values)
        if values.null_count() != texts.null_count():
            bad = values.is_null() & texts.is_not_null() & ~_blank(texts)
            refusals.add(name, reason, bad.arg_true())
        if nul and column.type == "string":
            refusals.add(name, "has a NUL character, which a string cannot hold", with_nul(texts))
    return pl.DataFrame(typed), refusals


def read_text(texts: pl.Series, column: Column, options: TextOptions) -> tuple[pl.Series, str]:
    """Values, null where the text spells none, and the reason for those."""
    match column.type:
        case "string":
            return texts, ""
        case "int64":
            return _retry(texts, _int64(texts), _loose_int64), "is not an int64"
        case "float64":
            return _retry(texts, _float64(texts, options), lambda t: _float64(t, options)), "is not a float64"
        case "decimal":
            values = _retry(texts, _decimal(texts, column.scale), lambda t: _loose_decimal(t, column.scale))
            whole = DECIMAL_PRECISION - column.scale
            return (
                values,
                f"is not a decimal of at most {whole} digits before the point and {column.scale} behind",
            )
        case "bool":
            return _retry(texts, _bool(texts), _bool), "is not a bool (true or false, t or f, yes or no, 1 or 0)"
        case "date":
            return read_date(texts, options.date_formats), "is not a date (YYYY-MM-DD)"
        case "timestamp":
            return read_timestamp(texts, options.timestamp_formats), (
                "is not a timestamp (ISO 8601, microseconds at the finest)"
            )
        case "binary":
            return _retry(texts, _base64(texts), _base64), "is not base64"
        case "json":
            return _json(texts), "is not a JSON text"


def _blank(texts: pl.Series) -> pl.Series:
    return texts.str.strip_chars(" \t") == ""


def with_nul(texts: pl.Series) -> pl.Series:
    return texts.str.contains("\0", literal=True).fill_null(False).arg_true()


def _retry(texts: pl.Series, values: pl.Series, again: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Reads what could not be read once more, without blanks around it and less simply."""
    if values.null_count() == texts.null_count():  # what has no text has no value
        return values
    missing = values.is_null() & texts.is_not_null()
    rows = missing.arg_true()
    return values.scatter(rows, again(texts.gather(rows).str.strip_chars(" \t")))


def _int64(texts: pl.Series) -> pl.Series:
    return texts.cast(pl.Int64, strict=False)


def _loose_int64(texts: pl.Series) -> pl.Series:
    """Whole numbers that are written with a fraction of zeros."""
    return _int64(texts.str.extract(r"^([+-]?[0-9]+)(?:\.0*)?$", 1))


def _float64(texts: pl.Series, options: TextOptions) -> pl.Series:
    values = texts.cast(pl.Float64, strict=False)
    finite = values.is_finite()
    if finite.all():
        return values
    odd = finite.not_().fill_null(False)
    if options.allow_nan:  # but a number beyond what a float64 holds is no infinity
        odd &= ~texts.str.contains(r"(?i)^[+-]?(?:nan|inf|infinity)$").fill_null(False)
    return values.set(odd, None)


def _decimal(texts: pl.Series, scale: int) -> pl.Series:
    plain = texts.str.contains(rf"^[+-]?[0-9]{{1,{DECIMAL_PRECISION - scale}}}(?:\.[0-9]{{0,{scale}}})?$")
    if not plain.all():
        texts = texts.set(~plain.fill_null(True), None)
    return texts.cast(pl.Decimal(DECIMAL_PRECISION, scale), strict=False)


_DECIMAL: Final = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?$"


def _loose_decimal(texts: pl.Series, scale: int) -> pl.Series:
    """Exponents, needless zeros, no digit before the point: rare, so one by one."""
    spelled = texts.str.contains(_DECIMAL)
    values = [exact_decimal(text, scale) if good else None for text, good in zip(texts, spelled, strict=True)]
    return pl.Series(values, dtype=pl.Decimal(DECIMAL_PRECISION, scale))


def exact_decimal(text: str, scale: int) -> Decimal | None:
    """The number at the scale; None if digits would be lost."""
    with localcontext() as context:
        context.prec = 2 * DECIMAL_PRECISION
        try:
            number = Decimal(text)
            scaled = number.quantize(Decimal(1).scaleb(-scale))
        except InvalidOperation:
            return None
    fits = scaled.adjusted() < DECIMAL_PRECISION - scale
    return scaled if scaled == number and fits else None


_BOOLS: Final = {
    "true": True,
    "t": True,
    "yes": True,
    "1": True,
    "false": False,
    "f": False,
    "no": False,
    "0": False,
}


def _bool(texts: pl.Series) -> pl.Series:
    return texts.str.to_lowercase().replace_strict(_BOOLS, default=None, return_dtype=pl.Boolean)


def _base64(texts: pl.Series) -> pl.Series:
    return texts.str.decode("base64", strict=False)


def _json(texts: pl.Series) -> pl.Series:
    """Keeps what is JSON, as it is written.

    No text can pass as a part of its neighbour, nor as two: what stands between them holds a line end, which
    no JSON string may, and closes what it opens.
    """
    filled = texts.drop_nulls()
    joined = "},\n".join('{"":' + filled) + "}"
    if not filled.is_empty() and joined.count("\n") == len(filled) - 1:
        try:
            if len(orjson.loads(f"[{joined}]")) == len(filled):
                return texts
        except orjson.JSONDecodeError:
            pass  # at least one is wrong: each is looked at below
    good = [text is None or is_json(text) for text in texts]
    return texts.set(~pl.Series(good, dtype=pl.Boolean), None)


def is_json(text: str | bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
