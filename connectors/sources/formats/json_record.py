"""One JSON object, read by itself: the judge of every record that does not fit among the others.

Always holds: it takes whatever the reading of many at once takes, with the same values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NoReturn

from connectors.sources.formats.texts import exact_decimal
from schemas.task.model import Column

MAX_DEPTH: Final = 200
INT64: Final = 1 << 63
_NUMERAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_SHORT: Final = re.compile(r"0|-?[1-9][0-9]{0,14}")
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_ESCAPED_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Unreadable:
    """Why a record, or one column of it, could not be read."""

    reason: str
    column: str | None = None
    deep: bool = False


class Number(str):
    """A number as it is written."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object as it is written, names that stand twice included."""

    __slots__ = ()


class _NoJsonError(ValueError):
    pass


def _refuse(constant: str) -> NoReturn:
    raise _NoJsonError(f"{constant} is no JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_refuse
)


class RecordReader:
    """Reads the named columns of a record; `marks` are read as text, whatever scalar they are."""

    def __init__(self, columns: Mapping[str, Column], marks: Collection[str]) -> None:
        self._columns = dict(columns)
        self._marks = frozenset(marks)

    def names(self, record: bytes) -> set[str]:
        parsed = _parse(record)
        return {name for name, _ in parsed} if isinstance(parsed, Pairs) else set()

    def told(self, record: bytes) -> dict[str, Any] | None:
        """The columns' values as they are written; None if that is not one value each."""
        parsed = _parse(record)
        if isinstance(parsed, Unreadable):
            return None
        found = [(name, value) for name, value in parsed if name in self._columns]
        values = {name: _told(value, self._columns[name]) for name, value in found}
        return values if len(values) == len(found) else None

    def read(self, record: bytes) -> dict[str, object] | Unreadable:
        """Values by the source's names of the columns; a string where the type is told as text."""
        parsed = _parse(record)
        if isinstance(parsed, Unreadable):
            return parsed
        values: dict[str, object] = dict.fromkeys(self._columns)
        seen: set[str] = set()
        for name, value in parsed:
            column = self._columns.get(name)
            if column is None:
                continue
            if name in seen:
                return Unreadable("stands twice in the record", name)
            seen.add(name)
            if value is None:
                continue
            read = _mark(value) if name in self._marks else _value(value, column)
            if read is None:
                return Unreadable(_reason(column), name)
            values[name] = read
        return values


def _parse(record: bytes) -> Pairs | Unreadable:
    if record.count(b"[") + record.count(b"{") > MAX_DEPTH and _depth(record) > MAX_DEPTH:
        return Unreadable(f"the record is nested more than {MAX_DEPTH} deep", deep=True)
    try:
        parsed = _DECODER.decode(record.decode())
    except UnicodeDecodeError:
        return Unreadable("the record is not valid UTF-8")
    except ValueError:
        return Unreadable("the record is not valid JSON")
    return parsed if isinstance(parsed, Pairs) else Unreadable("the record is not a JSON object")


def _depth(record: bytes) -> int:
    depth = deepest = 0
    for byte in _STRING.sub(b"", record):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _reason(column: Column) -> str:
    article = "an" if column.type == "int64" else "a"
    match column.type:
        case "decimal":
            return f"is not a decimal of at most {38 - column.scale} digits before the point and {column.scale} behind"
        case "date" | "timestamp" | "binary":
            return f"is not a {column.type} told as a string"
        case "string":
            return "is not a string of valid Unicode"
        case _:
            return f"is not {article} {column.type}"


def _value(value: object, column: Column) -> object | None:
    """None if the value is not of the column's type."""
    match column.type:
        case "int64":
            return _int64(value)
        case "float64":
            return _float64(value)
        case "decimal":
            return _decimal(value, column.scale)
        case "bool":
            return value if isinstance(value, bool) else None
        case "json":
            return json_text(value)
        case _:
            plain = isinstance(value, str) and not isinstance(value, Number)
            return value if plain and _ESCAPED_SURROGATE.search(str(value)) is None else None


def _int64(value: object) -> int | None:
    if not isinstance(value, Number):
        return None
    number = exact_decimal(value, 0) if _NUMERAL.fullmatch(value) else None
    return int(number) if number is not None and -INT64 <= number < INT64 else None


def _float64(value: object) -> float | None:
    number = float(value) if isinstance(value, Number) else math.inf
    return number if math.isfinite(number) else None


def _decimal(value: object, scale: int) -> Decimal | None:
    if not isinstance(value, str) or _NUMERAL.fullmatch(value) is None:
        return None
    return exact_decimal(value, scale)


def _mark(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) and _ESCAPED_SURROGATE.search(value) is None else None


def json_text(value: object) -> str | None:
    """The value as JSON, numbers as they were written; None if it holds half a surrogate pair."""
    text = _dump(value)
    return None if _ESCAPED_SURROGATE.search(text) else text


def _told(value: object, column: Column) -> object:
    """Numbers are numbers where every reader takes them for the same one."""
    if isinstance(value, Pairs | list) or (column.type == "json" and value is not None):
        return _dump(value)
    if isinstance(value, Number):
        return int(value) if _SHORT.fullmatch(value) else str(value)
    return value


def _dump(value: object) -> str:
    if isinstance(value, Number):
        return value
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{_dump(inner)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dump, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
