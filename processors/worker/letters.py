"""Dead letters: each with the reason, where the record stood, and the record itself, sealed.

The same batch gives the same letters: an id is made of where its record was read. A merged record has one letter,
however often it falls, until a correction answers it: its id is made of what it holds and of the last correction.
"""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl

from connectors.sources.formats.rejected import plain
from processors.merge.corrections import CONTENT, SAID
from processors.plan import TablePlan
from processors.worker.corrections import kept_again
from processors.worker.directory import RunInfo
from schemas import sealing
from schemas.columns import CHANGED, HASH, LINE, POSITION, SOURCE
from schemas.headers import Header
from schemas.memo import MEMO, Memo, Place

ROW = "_row"  # the record's place among those of its batch that could be read


def _position(source: str, split: str, line: Any, change: Any = None) -> str:
    """`change`: its place in the order of changes, which a correction takes."""
    where = {"source": source, "split": split, "line": line}
    return orjson.dumps(where if change is None else {**where, "change": change}).decode()


def unreadable(
    bad: pl.DataFrame | None, header: Header, info: RunInfo, memo: Memo | None = None
) -> list[dict[str, Any]]:
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
                "position": _position(header.extra["name"], header.extra["split"], row[LINE], row[POSITION]),
                "sealed": sealing.seal(info.key, _kept(row, memo), name),
            }
        )
    return letters


def _kept(row: dict[str, Any], memo: Memo | None) -> bytes:
    """The record with its columns, or its text where it could not be cut into them."""
    record: str | None = row["_record"]
    if record is None:
        return orjson.dumps({"_raw": row["_raw"]})
    again = kept_again(memo)
    return orjson.dumps(orjson.loads(record) | again) if again else record.encode()


def fallen(rejected: pl.DataFrame, header: Header, info: RunInfo, memo: Memo | None = None) -> list[dict[str, Any]]:
    letters = []
    for row in rejected.iter_rows(named=True):
        name = f"{header.run}/{header.table}/{header.producer}/{header.sequence}/{row[ROW]}"
        record = {key: plain(value) for key, value in row.items() if not key.startswith("_")}
        letters.append(
            {
                "id": name,
                "rule": row["_rule"],
                "column": row["_column"],
                "reason": row["_reason"],
                "position": _position(header.extra["name"], header.extra["split"], row.get(LINE), row.get(POSITION)),
                "sealed": sealing.seal(info.key, orjson.dumps(record | kept_again(memo)), name),
            }
        )
    return letters


def merged_letters(rejected: pl.DataFrame, table: TablePlan, info: RunInfo) -> list[dict[str, Any]]:
    """Of records that fell behind the merge."""
    letters = []
    for row in rejected.iter_rows(named=True):
        name = f"{info.run}/{table.name}/merge/{row[CONTENT]:016x}/{row[SAID]}"
        change = row[POSITION] if row[SOURCE] in table.merge.changes else None
        place = Place(row[HASH], row[CONTENT], change or 0) if table.merge.key else None
        record = {column: plain(row[column]) for column in table.columns}
        record[MEMO] = Memo(place, table.columns, row[CHANGED]).told()
        letters.append(
            {
                "id": name,
                "rule": row["_rule"],
                "column": row["_column"],
                "reason": row["_reason"],
                "position": _position(table.sources[row[SOURCE]], "", None, change),
                "sealed": sealing.seal(info.key, orjson.dumps(record), name),
            }
        )
    return letters
