"""JSON lines: blocks of bytes become chunks of typed columns. Blank lines are no records."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from connectors.sources.contract import MAX_RECORD_BYTES, RAW_BYTES, Chunk, Context, Position
from connectors.sources.formats.inputs import Encoding
from connectors.sources.formats.json_rows import JsonRows
from connectors.sources.formats.lines import line_behind
from connectors.sources.formats.records import BOM
from connectors.sources.formats.rejected import Reject
from connectors.sources.formats.shape import FILE_SHIFT, Shape
from connectors.sources.formats.window import Window


class JsonlOptions(BaseModel):
    """How JSON lines are written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoding: Encoding = Field(default="utf-8", description="The text's encoding, as Python names it.")
    max_record_bytes: int = Field(default=MAX_RECORD_BYTES, ge=1, description="A longer record is rejected.")


class JsonlDecoder:
    """Reads JSON lines through a window."""

    def __init__(self, options: JsonlOptions, shape: Shape, context: Context) -> None:
        self._shape = shape
        self._context = context
        self._limit = options.max_record_bytes
        self._rows = JsonRows(shape)
        self.unknown_columns: set[str] = set()

    def read(self, window: Window, position: Position | None, rank: int = 0) -> Iterator[Chunk]:
        """Chunks from a position to the present end; `rank` orders this file among the source's."""
        offset, line = 0, 1
        if position is not None:
            window.verify(position)
            offset, line = int(position["offset"]), int(position["line"])
        elif window.at(0, len(BOM)) == BOM:
            offset = len(BOM)
        block = size = self._context.chunk_bytes
        while data := window.at(offset, size):
            ended = len(data) < size
            final = ended and not self._context.follow
            cut, lines = _cut(data, final, self._context.chunk_rows)
            if cut == 0:
                if not ended and size < self._limit + 2:
                    size = min(size * 2, self._limit + 2)
                    continue
                skipped = None if ended else line_behind(window.source, offset, not self._context.follow, b"\n")
                if skipped is None:
                    return
                offset, before = skipped
                rejects = [Reject(line, None, self._too_long, data[: RAW_BYTES + 1])]
                line += 1
                yield self._shape.chunk(None, rejects, self._position(offset, line, before), at_end=False)
            else:
                text = data[:cut]
                frame, rejects = self._decode(text, lines, line, rank)
                offset, line = offset + cut, line + lines
                more = data.find(b"\n", cut) >= 0 or (final and cut < len(data))
                yield self._shape.chunk(frame, rejects, self._position(offset, line, text), at_end=ended and not more)
            size = block

    @property
    def _too_long(self) -> str:
        return f"the record is longer than {self._limit} bytes"

    @staticmethod
    def _position(offset: int, line: int, before: bytes) -> Position:
        return {"offset": offset, "line": line, **Window.mark(before)}

    def _decode(self, text: bytes, lines: int, line: int, rank: int) -> tuple[pl.DataFrame, list[Reject]]:
        body = text.removesuffix(b"\n")
        numbers = pl.int_range(line, line + lines, eager=True)
        records: list[bytes] = []
        rejects: list[Reject] = []
        if line == 1 or not self.unknown_columns:
            self.unknown_columns |= self._rows.unknown(body.split(b"\n", 1)[0][: 1 << 20])
        decoded = self._rows.at_once(body, lines) if len(body) <= self._limit else None
        if decoded is None:
            records, rejects, numbers = self._readable(body.split(b"\n"), line)
            decoded = self._rows.decode(records)
        typed, refusals = decoded
        frame = self._shape.finish(typed, numbers, numbers + (rank << FILE_SHIFT), refusals)
        if refusals.rows and not records:
            records = body.split(b"\n")
        for row, (column, reason) in refusals.rows.items():
            told = self._rows.record(records[row])
            record = None if told is None else self._shape.record(typed.row(row, named=True), told)
            rejects.append(Reject(int(numbers[row]), column, reason, records[row], record, refusals.change(row)))
        return frame, rejects

    def _readable(self, lines: list[bytes], first: int) -> tuple[list[bytes], list[Reject], pl.Series]:
        """Without blank lines and those that are too long."""
        records, numbers, rejects = [], [], []
        for number, record in enumerate(lines, first):
            stripped = record.strip(b" \t\r")
            if len(record) > self._limit:
                rejects.append(Reject(number, None, self._too_long, record))
            elif stripped:
                records.append(stripped)
                numbers.append(number)
        return records, rejects, pl.Series(numbers, dtype=pl.Int64)


def _cut(data: bytes, final: bool, limit: int) -> tuple[int, int]:
    """Where the last whole line that is taken ends, and how many lines that is."""
    cut = len(data) if final else data.rfind(b"\n") + 1
    lines = data.count(b"\n", 0, cut) + (final and not data.endswith(b"\n"))
    if lines <= limit:
        return cut, lines
    at = -1
    low, found = 0, 0
    while found < limit:  # halves what is left, so that the whole is counted about once
        high = max(low + 1, low + (cut - low) // 2)
        count = data.count(b"\n", low, high)
        if found + count < limit:
            low, found = high, found + count
        elif high - low == 1:
            at, found = low, limit
        else:
            cut = high
    return at + 1, limit
