"""Dead letters of a batch: each with the reason, where the record stood, and the record itself, sealed.

The same batch gives the same letters: an id is made of where its record was read.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson
import polars as pl

from processors.worker.directory import RunInfo
from schemas import sealing
from schemas.columns import LINE, POSITION
from schemas.headers import Header

ROW = "_row"  # the record's place among those of its batch that could be read


def _position(header: Header, line: Any, change: Any = None) -> str:
    """`change`: its place in the order of changes, which a correction takes."""
    where = {"source": header.extra["name"], "split": header.extra["split"], "line": line}
    return orjson.dumps(where if change is None else {**where, "change": change}).decode()


def unreadable(bad: pl.DataFrame | None, header: Header, info: RunInfo) -> list[dict[str, Any]]:
    if bad is None:
        return []
    letters = []
    for i, row in enumerate(bad.iter_rows(named=True)):
        name = f"{header.run}/{header.table}/{header.producer}/{header.sequence}/r{i}"
        letters.append(
            {
                "id": name,
                "rule": "type",
                "column": row["_column"],
                "reason": row["_reason"],
                "position": _position(header, row[LINE], row[POSITION]),
                "sealed": sealing.seal(info.key, _kept(row), name),
            }
        )
    return letters


def _kept(row: dict[str, Any]) -> bytes:
    """The record with its columns, or its text where it could not be cut into them."""
    record: str | None = row["_record"]
    return orjson.dumps({"_raw": row["_raw"]}) if record is None else record.encode()


def fallen(rejected: pl.DataFrame, header: Header, info: RunInfo) -> list[dict[str, Any]]:
    letters = []
    for row in rejected.iter_rows(named=True):
        name = f"{header.run}/{header.table}/{header.producer}/{header.sequence}/{row[ROW]}"
        record = {key: value for key, value in row.items() if not key.startswith("_")}
        letters.append(
            {
                "id": name,
                "rule": row["_rule"],
                "column": row["_column"],
                "reason": row["_reason"],
                "position": _position(header, row.get(LINE), row.get(POSITION)),
                "sealed": sealing.seal(info.key, orjson.dumps(record, default=plain), name),
            }
        )
    return letters


def plain(value: Any) -> str:
    """Decimals and bytes as the text that a source would give."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
