"""Messages of a topic, one record each, become a chunk's columns.

Always holds: a message without a value is a deletion where the source tells changes, and a reject elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson
import polars as pl

from connectors.sources.contract import Context
from connectors.sources.formats.json_rows import JsonRows
from connectors.sources.formats.rejected import Refusals, Reject
from connectors.sources.formats.shape import Shape


class Rows(Protocol):
    """Decodes values of messages; a refused row holds nulls."""

    def decode(self, records: Sequence[bytes]) -> tuple[pl.DataFrame, Refusals]: ...

    def record(self, record: bytes) -> Mapping[str, Any] | None:
        """What one says by the source's names; None if it could not be read apart."""
        ...


class MessageDecoder:
    """Decodes messages of one source: keys and values as bytes, and their offsets."""

    def __init__(self, rows: Rows, shape: Shape, context: Context) -> None:
        self._rows = rows
        self._keys = JsonRows(shape)
        self._shape = shape
        self._primary_key = context.primary_key

    def decode(
        self, keys: Sequence[bytes | None] | None, values: Sequence[bytes | None], offsets: Sequence[int]
    ) -> tuple[pl.DataFrame, list[Reject]]:
        """`keys` are wanted only where a value is missing."""
        full = [value for value in values if value is not None]
        if len(full) == len(values):
            typed, refusals = self._rows.decode(full)
            frame = self._finish(typed, refusals, offsets, deleted=False)
            return frame, self._rejects(typed, refusals, full, offsets)
        empty = [row for row, value in enumerate(values) if value is None]
        kept = [row for row, value in enumerate(values) if value is not None]
        frames, rejects = [], []
        if full:
            typed, refusals = self._rows.decode(full)
            places = [offsets[row] for row in kept]
            frames.append(self._finish(typed, refusals, places, deleted=False))
            rejects += self._rejects(typed, refusals, full, places)
        places = [offsets[row] for row in empty]
        told = [(keys[row] if keys else None) or b"" for row in empty]
        if self._shape.changes is None:
            rejects += [
                Reject(place, None, "the message has no value", key) for place, key in zip(places, told, strict=True)
            ]
        else:
            deletions, refused = self._deletions(told, places)
            frames.append(deletions)
            rejects += refused
        return pl.concat(frames).sort("_line") if frames else pl.DataFrame(schema=self._shape.schema), rejects

    def _finish(self, typed: pl.DataFrame, refusals: Refusals, offsets: Sequence[int], deleted: bool) -> pl.DataFrame:
        lines = pl.Series(offsets, dtype=pl.Int64)
        op = pl.repeat(int(deleted), len(offsets), dtype=pl.Int8, eager=True)
        return self._shape.finish(typed, lines, lines, refusals, op)

    def _rejects(
        self, typed: pl.DataFrame, refusals: Refusals, records: Sequence[bytes], offsets: Sequence[int]
    ) -> list[Reject]:
        rejects = []
        for row, (column, why) in refusals.rows.items():
            told = self._rows.record(records[row])
            record = None if told is None else self._shape.record(typed.row(row, named=True), told)
            rejects.append(Reject(offsets[row], column, why, records[row], record, refusals.change(row)))
        return rejects

    def _deletions(self, keys: list[bytes], offsets: list[int]) -> tuple[pl.DataFrame, list[Reject]]:
        typed, refusals = self._keys.decode([self._object(key) for key in keys])
        for name in self._primary_key:
            refusals.add(name, "is not told by the key of a message without a value", typed[name].is_null().arg_true())
        frame = self._finish(typed, refusals, offsets, deleted=True)
        return frame, [Reject(offsets[row], column, why, keys[row]) for row, (column, why) in refusals.rows.items()]

    def _object(self, key: bytes) -> bytes:
        """The key as a JSON object: it is one, or it is the value of the one column of the primary key."""
        if len(self._primary_key) != 1 or key.lstrip().startswith(b"{"):
            return key
        name = self._primary_key[0]
        value = key
        if self._shape.columns[name].type != "int64" and not key.startswith(b'"'):
            value = orjson.dumps(key.decode("utf-8", "replace"))
        return b"{%s:%s}" % (orjson.dumps(self._shape.theirs(name)), value)


class JsonMessages:
    """Values that are JSON objects."""

    def __init__(self, shape: Shape) -> None:
        self._rows = JsonRows(shape)

    def unknown(self, record: bytes) -> set[str]:
        return self._rows.unknown(record)

    def record(self, record: bytes) -> Mapping[str, Any] | None:
        return self._rows.record(record)

    def decode(self, records: Sequence[bytes]) -> tuple[pl.DataFrame, Refusals]:
        text = b"\n".join(records)
        return self._rows.at_once(text, len(records)) or self._rows.decode(records)
