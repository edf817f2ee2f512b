"""Delimited text: blocks of bytes become chunks of typed columns.

An unquoted empty value is null, a quoted one an empty string. A record with too few or too many fields, in broken
quotes, of invalid UTF-8 or too long is rejected alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from connectors.sources.contract import MAX_RECORD_BYTES, RAW_BYTES, Chunk, Context, Position
from connectors.sources.formats.fields import Fields, cut_exactly, cut_quickly
from connectors.sources.formats.inputs import Encoding
from connectors.sources.formats.lines import line_behind
from connectors.sources.formats.marks import Numbers
from connectors.sources.formats.records import BOM, Dialect, Records
from connectors.sources.formats.rejected import Refusals, Reject
from connectors.sources.formats.scan import scan
from connectors.sources.formats.shape import FILE_SHIFT, Shape
from connectors.sources.formats.texts import TextOptions, is_utf8, read_texts
from connectors.sources.formats.window import MARK_BYTES, Window
from schemas.errors import InvalidInput, Mistake


class CsvOptions(BaseModel):
    """How delimited text is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delimiter: str = Field(default=",", pattern=r"^[\x20-\x7e\t]$", description="What stands between two values.")
    quote: str = Field(default='"', pattern=r"^[\x20-\x7e]?$", description="What encloses a value; empty for nothing.")
    header: bool = Field(default=True, description="Whether the first line names the columns.")
    names: list[str] | None = Field(
        default=None,
        min_length=1,
        description="The columns of a file without a header; else the declared ones, in order.",
    )
    null_values: list[str] = Field(default=[""], description="Texts that, outside quotes, stand for no value.")
    encoding: Encoding = Field(default="utf-8", description="The text's encoding, as Python names it.")
    allow_nan: bool = Field(default=False, description="Whether NaN and infinities are float64 values.")
    date_formats: list[str] = Field(default=[], description="strftime formats that dates may have besides ISO 8601.")
    timestamp_formats: list[str] = Field(default=[], description="The same for points in time.")
    max_record_bytes: int = Field(default=MAX_RECORD_BYTES, ge=1, description="A longer record is rejected.")


@dataclass(frozen=True)
class Layout:
    """Where the declared columns stand in the file, and where its records begin."""

    fields: int
    found: dict[str, int]  # our name: index of the field
    unknown: tuple[str, ...]
    offset: int
    line: int


class CsvDecoder:
    """Reads delimited text through a window."""

    def __init__(self, options: CsvOptions, shape: Shape, context: Context) -> None:
        self._options = options
        self._shape = shape
        self._context = context
        self._dialect = Dialect(options.delimiter, options.quote)
        self._texts = TextOptions(options.allow_nan, tuple(options.date_formats), tuple(options.timestamp_formats))
        self._odd = False  # whether the last block had what is cut exactly alone: the next one may, too

    def layout(self, window: Window) -> Layout | None:
        """None as long as a followed file has no whole header."""
        start = len(BOM) if window.at(0, len(BOM)) == BOM else 0
        if not self._options.header:
            return self._match(self._options.names or self._declared(), window.source.label, 1, start)
        size, line = 1 << 16, 1
        while True:
            data = window.at(start, size)
            ended = len(data) < size
            records = scan(data, self._dialect, ended and not self._context.follow, 1)
            start += records.size
            line += records.lines
            if records.broken:
                first = line - records.lines + records.broken[0].line
                raise _wrong(window.source.label, first, records.broken[0].reason, "quote the names in pairs")
            if len(records.line):
                first = line - records.lines + int(records.line[0])
                names = self._split(data[records.starts[0] : records.ends[0]], window.source.label, first)
                return self._match(names, window.source.label, first, start, line)
            if records.size == 0:
                if ended:
                    return None
                if size > self._options.max_record_bytes:
                    raise _wrong(window.source.label, line, "the header never ends", "name the columns in one line")
                size *= 2

    def _declared(self) -> list[str]:
        return [self._shape.theirs(name) for name in self._shape.wanted]

    def _split(self, raw: bytes, label: str, line: int) -> list[str]:
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise _wrong(label, line, "the header is not valid UTF-8", "name the file's encoding") from error
        quote = self._dialect.quote or "\0"  # which no text holds: nothing is quoted then
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self._dialect.delimiter, quotechar=quote)
        return [name.strip() for name in next(reader)]

    def _match(self, names: list[str], label: str, at: int, offset: int, line: int = 1) -> Layout:
        found: dict[str, int] = {}
        unknown = []
        for index, theirs in enumerate(names):
            ours = self._shape.name(theirs)
            if names.index(theirs) != index or ours in found:
                raise _wrong(label, at, f"column {theirs or '(no name)'} stands there twice", "give each its own name")
            if ours in self._shape.wanted:
                found[ours] = index
            else:
                unknown.append(theirs)
        if not found:
            wanted = ", ".join(self._declared())
            raise _wrong(label, at, "none of the declared columns is there", f"expected some of {wanted}")
        return Layout(len(names), found, tuple(unknown), offset, line)

    def read(self, window: Window, layout: Layout, position: Position | None, rank: int = 0) -> Iterator[Chunk]:
        """Chunks from a position to the present end; `rank` orders this file among the source's."""
        offset, line = layout.offset, layout.line
        if position is not None:
            window.verify(position)
            offset, line = int(position["offset"]), int(position["line"])
        block = size = self._context.chunk_bytes
        limit = self._options.max_record_bytes + 2
        while data := window.at(offset, size):
            ended = len(data) < size
            final = ended and not self._context.follow
            records = scan(data, self._dialect, final, self._context.chunk_rows)
            if records.size == 0:
                if not ended and size < limit:
                    size = min(size * 2, limit)
                    continue
                skipped = None if ended else line_behind(window.source, offset, not self._context.follow)
                if skipped is None:
                    return
                reason = f"the record is longer than {self._options.max_record_bytes} bytes"
                offset, before = skipped
                rejects = [Reject(line, None, reason, data[: RAW_BYTES + 1])]
                line += 1
                yield self._shape.chunk(None, rejects, self._position(offset, line, before), at_end=False)
            else:
                offset, at = offset + records.size, line
                line += records.lines
                frame, rejects = self._decode(data, records, layout, at, rank)
                place = self._position(offset, line, data[max(0, records.size - MARK_BYTES) : records.size])
                yield self._shape.chunk(frame, rejects, place, at_end=ended and not records.limited)
            size = block

    @staticmethod
    def _position(offset: int, line: int, before: bytes) -> Position:
        return {"offset": offset, "line": line, **Window.mark(before)}

    def _decode(
        self, data: bytes, records: Records, layout: Layout, line: int, rank: int
    ) -> tuple[pl.DataFrame, list[Reject]]:
        frame, kept, refused = self._cut(data, records, layout)
        columns = {name: self._shape.wanted[name] for name in layout.found}
        typed, refusals = read_texts(frame, columns, self._texts, nul=data.find(b"\0", 0, records.size) >= 0)
        missing = [self._shape.empty(frame.height, n) for n in self._shape.wanted if n not in layout.found]
        lines = pl.Series(records.line[kept] + line)
        finished = self._shape.finish(typed.with_columns(missing), lines, lines + (rank << FILE_SHIFT), refusals)

        def raw(row: int) -> bytes:
            return data[records.starts[row] : records.ends[row]]

        rejects = [Reject(line + b.line, None, b.reason, data[b.start : b.end]) for b in records.broken]
        rejects += [
            Reject(line + int(records.line[row]), column, reason, raw(row))
            for row, (column, reason) in refused.rows.items()
        ]
        for row, (column, reason) in refusals.rows.items():
            told = {self._shape.theirs(name): text for name, text in frame.row(row, named=True).items()}
            record = self._shape.record(typed.row(row, named=True), told)
            change = refusals.change(row)
            rejects.append(Reject(lines[row], column, reason, raw(kept[row]), record, change))
        return finished, rejects

    def _cut(self, data: bytes, records: Records, layout: Layout) -> tuple[pl.DataFrame, Numbers, Refusals]:
        """The declared columns as texts, and which records they are; those that do not fit are refused."""
        fields = Fields(self._dialect, tuple(self._options.null_values), layout.fields, layout.found)
        kept, refused = np.arange(len(records.line)), self._too_long(data, records)
        if not (self._odd or refused.rows):
            frame = cut_quickly(data, records, fields)
            if frame is not None:
                return frame, kept, refused
        no_text = self._refuse_no_text(data, records, refused)
        text: bytes | memoryview = memoryview(data)[: records.size]
        if refused.rows or records.broken:
            kept = np.delete(kept, list(refused.rows))
            spans = zip(records.starts[kept].tolist(), records.ends[kept].tolist(), strict=True)
            text = b"".join(data[start:end] + b"\n" for start, end in spans)
        self._odd = no_text
        if not len(kept):
            return pl.DataFrame(schema=dict.fromkeys(layout.found, pl.String())), kept, refused
        frame, odd = cut_exactly(text, fields)
        self._odd = no_text or bool(odd)
        for row, count in odd.items():
            refused.rows[int(kept[row])] = (None, f"the record has {count} fields, not {fields.count}")
        return frame, np.delete(kept, list(odd)), refused

    def _too_long(self, data: bytes, records: Records) -> Refusals:
        refused = Refusals()
        limit = self._options.max_record_bytes
        if limit < len(data):
            too_long = np.flatnonzero(records.ends - records.starts > limit)
            refused.add(None, f"the record is longer than {limit} bytes", pl.Series(too_long))
        return refused

    def _refuse_no_text(self, data: bytes, records: Records, refused: Refusals) -> bool:
        """Whether there is any."""
        if is_utf8(memoryview(data)[: records.size]):
            return False
        spans = zip(records.starts.tolist(), records.ends.tolist(), strict=True)
        bad = [row for row, (start, end) in enumerate(spans) if not is_utf8(data[start:end])]
        refused.add(None, "the record is not valid UTF-8", pl.Series(bad, dtype=pl.Int64))
        return True


def _wrong(label: str, line: int, wrong: str, right: str) -> InvalidInput:
    return InvalidInput([Mistake(label, line, "header", wrong, right)])
