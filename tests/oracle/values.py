"""A value as its column's declared type; whatever can't be read so is `Unreadable`. Knows no rule and no table."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
SCALE = 9


class Unreadable(ValueError):
    """The value does not have the declared type."""


def read(kind: str, value: Any, scale: int = SCALE) -> Any:
    """The typed value; null stays null."""
    if value is None:
        return None
    if kind == "decimal":
        return _decimal(value, scale)
    return _READERS[kind](value)


def field(kind: str, text: str | None, scale: int = SCALE) -> Any:
    """A CSV field: nothing between the separators is null."""
    return None if text is None or text == "" else read(kind, text, scale)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise Unreadable("string")
    return value


def _int64(value: Any) -> int:
    if isinstance(value, str) and INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise Unreadable("int64")
    return value


def _float64(value: Any) -> float:
    if isinstance(value, str) and NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable("float64")
    return float(value)


def _decimal(value: Any, scale: int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise Unreadable("decimal")
    if isinstance(value, str) and not NUMBER.fullmatch(value):
        raise Unreadable("decimal")
    try:
        number = Decimal(str(value))
        exact = number.quantize(Decimal(1).scaleb(-scale))
    except InvalidOperation as error:
        raise Unreadable("decimal") from error
    if exact != number:
        raise Unreadable("decimal")
    return exact


def _bool(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise Unreadable("bool")
    return value


def _date(value: Any) -> dt.date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if not isinstance(value, str) or not DATE.fullmatch(value):
        raise Unreadable("date")
    try:
        return dt.date.fromisoformat(value)
    except ValueError as error:
        raise Unreadable("date") from error


def _timestamp(value: Any) -> dt.datetime:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError as error:
            raise Unreadable("timestamp") from error
    if not isinstance(value, dt.datetime):
        raise Unreadable("timestamp")
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def _binary(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError) as error:
        raise Unreadable("binary") from error


def _json(value: Any) -> str:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise Unreadable("json") from error
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


_READERS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "int64": _int64,
    "float64": _float64,
    "bool": _bool,
    "date": _date,
    "timestamp": _timestamp,
    "binary": _binary,
    "json": _json,
}
