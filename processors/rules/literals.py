"""Values that a task file gives for a column (bounds, replacements, mappings), typed as the column is.

A value that the column could not hold exactly is refused here, before the first record.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
from collections.abc import Callable
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import orjson
import polars as pl

from processors.wrong_config import MisfitError
from schemas.columns import DECIMAL_PRECISION, ColumnType, polars_type
from schemas.task.model import Column

INT64_MAX = 2**63 - 1
EXACT = Context(prec=400)  # the usual 28 digits would round what 38 digits hold


def literal(value: Any, column: Column) -> pl.Expr:
    """The value as a polars literal of the column's type."""
    return pl.lit(typed(value, column), dtype=polars_type(column.type, column.scale))


def typed(value: Any, column: Column) -> Any:
    """The value as the Python type that polars reads into the column's type."""
    if column.type == "decimal":
        return _decimal(value, column.scale)
    return _READERS[column.type](value)


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MisfitError("is not text", "quote it")
    return str(value)


def _int64(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise MisfitError("is not a whole number", "an int64 column takes a whole number")
    if not -INT64_MAX - 1 <= value <= INT64_MAX:
        raise MisfitError("is beyond 64 bits", f"an int64 lies between {-INT64_MAX - 1} and {INT64_MAX}")
    return value


def _float64(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MisfitError("is not a number", "a float64 column takes a number")
    if not math.isfinite(value):
        raise MisfitError("is not finite", "give a finite number or leave the key out")
    return float(value)


def _decimal(value: Any, scale: int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise MisfitError("is not a number", "a decimal column takes a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise MisfitError("is not a number", "a decimal column takes a number") from None
    if not number.is_finite():
        raise MisfitError("is not finite", "give a finite number or leave the key out")
    number = number.normalize(EXACT)
    if -int(number.as_tuple().exponent) > scale:
        raise MisfitError(f"has more than {scale} decimal places", "give the column a larger scale or round the number")
    if number.adjusted() >= DECIMAL_PRECISION - scale:
        raise MisfitError(
            "is too large",
            f"a decimal of scale {scale} has {DECIMAL_PRECISION - scale} digits before the point",
        )
    return number


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise MisfitError("is neither true nor false", "a bool column takes true or false")
    return value


def _date(value: Any) -> dt.date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        raise MisfitError("is not a date", "write it as 2024-12-31") from None


def _timestamp(value: Any) -> dt.datetime:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    try:
        moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise MisfitError("is not a timestamp", "write it as 2024-12-31T23:59:59Z") from None
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _binary(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise MisfitError("is not base64", "write bytes in base64") from None


def _json(value: Any) -> str:
    if isinstance(value, str):
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            raise MisfitError("is not JSON", "write it as JSON, a text within its quotes") from None
        return value
    return orjson.dumps(value).decode()


_READERS: dict[ColumnType, Callable[[Any], Any]] = {
    "string": _string,
    "int64": _int64,
    "float64": _float64,
    "bool": _bool,
    "date": _date,
    "timestamp": _timestamp,
    "binary": _binary,
    "json": _json,
}
