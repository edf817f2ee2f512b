"""A record that could not be read, as it is kept: its columns if it could be cut into them, else its text.

Always holds: what is kept is read again as exactly the values that were there; where that cannot be, it is the text.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import polars as pl

from connectors.sources.contract import RAW_BYTES, REJECTS

INT64: Final = 1 << 63


@dataclass
class Refusals:
    """Rows that are refused, each with the first column at fault; and the places of all in the order of changes."""

    rows: dict[int, tuple[str | None, str]] = field(default_factory=dict)
    order: pl.Series | None = None

    def add(self, column: str | None, reason: str, rows: pl.Series) -> None:
        for row in rows.to_list():
            self.rows.setdefault(row, (column, reason))

    def kept(self, height: int) -> pl.Series:
        kept = pl.repeat(True, height, eager=True)
        return kept.scatter(list(self.rows), False) if self.rows else kept

    def change(self, row: int) -> int | None:
        return None if self.order is None else self.order[row]


@dataclass(frozen=True)
class Reject:
    """One record that could not be read. `change`: its place in the order of changes."""

    line: int
    column: str | None
    reason: str
    raw: bytes
    record: Mapping[str, Any] | None = None
    change: int | None = None


def frame_of(rejects: Iterable[Reject]) -> pl.DataFrame:
    """REJECTS, in order of lines; each with its record or else its text."""
    rows = []
    for reject in sorted(rejects, key=lambda reject: reject.line):
        record = None if reject.record is None else _json(reject.record)
        raw = raw_text(reject.raw) if record is None else None
        rows.append((reject.line, reject.column, reject.reason, raw, record, reject.change))
    return pl.DataFrame(rows, schema=REJECTS, orient="row")


def raw_text(raw: bytes) -> str:
    """A rejected record as text that any store can hold: cut after 64 KiB, which it then says."""
    text = raw[:RAW_BYTES].decode("utf-8", "replace").replace("\0", "\N{SYMBOL FOR NULL}")
    return text if len(raw) <= RAW_BYTES else f"{text}… ({len(raw)} bytes in all)"


def _json(record: Mapping[str, Any]) -> str | None:
    """None where the record is too long to be kept whole, or holds what is no Unicode."""
    try:
        text = orjson.dumps({name: plain(value) for name, value in record.items()})
    except orjson.JSONEncodeError:
        return None
    return text.decode() if len(text) <= RAW_BYTES else None


def plain(value: Any) -> Any:
    """A value as JSON has it, or as the text that a file would have where JSON's own would lose something."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -INT64 <= value < INT64 else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case list() | tuple() | dict():
            return orjson.dumps(value, default=str).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
