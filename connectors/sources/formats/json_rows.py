"""JSON objects, one after the other, become columns of the declared types.

Arrow reads many records at once where all of them fit; where one does not, ever smaller pieces are tried and at
last each record is read by itself. Always holds: a record fares the same whatever stands around it, and no value
of a wrong type becomes null. A column of type json keeps its value as JSON text, digit for digit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.json

from connectors.sources.contract import CHUNK_BYTES
from connectors.sources.formats.json_record import RecordReader, Unreadable
from connectors.sources.formats.rejected import Refusals
from connectors.sources.formats.shape import Shape
from connectors.sources.formats.texts import TextOptions, read_text, with_nul
from schemas.columns import DECIMAL_PRECISION, polars_type
from schemas.task.model import Column

BLOCK: Final = 2048  # records that are tried together once the whole chunk could not be read
PIECE: Final = 256  # records that are read one by one where even those cannot
NEAR: Final = 48  # how many good records in front of a bad one are worth reading together
_ROW: Final = re.compile(r"in row (\d+)")
_NO_JSON: Final = re.compile(rb"[:\[,]\s*-?(?:NaN|Inf)")
_TEXTUAL: Final = ("date", "timestamp", "binary")
_ANY: Final = (pa.string(), pa.bool_(), pa.int64())  # what the mark of a deletion may be


def arrow_type(column: Column) -> pa.DataType:
    """What Arrow reads a JSON value of the declared type as."""
    match column.type:
        case "int64":
            return pa.int64()
        case "float64":
            return pa.float64()
        case "decimal":
            return pa.decimal128(DECIMAL_PRECISION, column.scale)
        case "bool":
            return pa.bool_()
        case _:
            return pa.string()


class _TogetherError(Exception):
    """Records could not be read together; `row` of them, as far as is told, could."""

    def __init__(self, row: int | None) -> None:
        super().__init__(row)
        self.told = row is not None
        self.row = row or 0


class JsonRows:
    """Decodes records of one source."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        ours = {shape.theirs(name): name for name in shape.wanted}
        self._records = RecordReader({theirs: shape.wanted[name] for theirs, name in ours.items()}, shape.marks)
        self._names = ours
        self._whole = any(column.type == "json" for column in shape.wanted.values())
        fields = [(theirs, arrow_type(shape.wanted[name])) for theirs, name in ours.items()]
        marks = [theirs for theirs, name in ours.items() if name in shape.marks]
        self._schemas = [
            pa.schema([(theirs, mark if theirs in marks else kind) for theirs, kind in fields])
            for mark in (_ANY if marks else _ANY[:1])
        ]

    def unknown(self, record: bytes) -> set[str]:
        """Names in a record that are no column."""
        return self._records.names(record) - set(self._names)

    def record(self, record: bytes) -> dict[str, Any] | None:
        """What an object says by the source's names; None if it is none, or says a column twice."""
        return self._records.told(record)

    def at_once(self, text: bytes, count: int) -> tuple[pl.DataFrame, Refusals] | None:
        """`count` records, each on its own line; None if that is not all there is. A refused row holds nulls."""
        wire = self._at_once(text, count)
        return None if wire is None else self._typed(wire, Refusals(), b"\\u0000" in text)

    def decode(self, records: Sequence[bytes]) -> tuple[pl.DataFrame, Refusals]:
        """Records that may hold line ends; none is blank."""
        refusals = Refusals()
        frames: list[pl.DataFrame] = []
        block = max(1, len(records)) if self._whole else BLOCK
        for start in range(0, len(records), block):
            self._block(records[start : start + block], start, frames, refusals)
        wire = pl.concat(frames) if frames else self._frame({name: [] for name in self._names})
        return self._typed(wire, refusals, any(b"\\u0000" in record for record in records))

    def _block(self, records: Sequence[bytes], start: int, frames: list[pl.DataFrame], refusals: Refusals) -> None:
        """Reads together what can be, and around each record that cannot be read goes one by one."""
        place, alone = 0, 1  # the more bad records stand together, the more are read one by one
        while place < len(records):
            rest = records[place:]
            try:
                wire = self._together(b"\n".join(rest), len(rest))
            except _TogetherError as stopped:
                good = self._at_once(b"\n".join(rest[: stopped.row]), stopped.row) if stopped.row >= NEAR else None
                if good is not None:
                    wire, alone = good, 1
                else:
                    step = len(rest) if self._whole else (stopped.row + alone if stopped.told else PIECE)
                    wire = self._one_by_one(rest[:step], start + place, refusals)
                    alone = min(alone * 4, PIECE)
            frames.append(wire)
            place += wire.height

    def _at_once(self, text: bytes, count: int) -> pl.DataFrame | None:
        """None unless every record is an object on its own line, each value of its column's type."""
        try:
            return self._together(text, count)
        except _TogetherError:
            return None

    def _together(self, text: bytes, count: int) -> pl.DataFrame:
        """Fails with the row at which it stopped, where Arrow tells that."""
        closed = text.startswith(b"{") and text.rstrip(b"\r").endswith(b"}")
        if self._whole or not closed or _neighbours(text) != count - 1:
            raise _TogetherError(None)
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError as error:
                raise _TogetherError(text.count(b"\n", 0, error.start)) from None
        if (b"NaN" in text or b"Inf" in text) and _NO_JSON.search(text):
            raise _TogetherError(None)
        rows = []
        for schema in self._schemas:
            try:
                table = pyarrow.json.read_json(
                    pa.BufferReader(text),
                    read_options=pyarrow.json.ReadOptions(
                        use_threads=False, block_size=max(len(text) + 1, CHUNK_BYTES)
                    ),
                    parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
                )
            except pa.ArrowInvalid as error:
                found = _ROW.search(str(error))
                rows += [int(found.group(1))] if found else []
                continue
            if table.num_rows == count:
                frame = pl.from_arrow(table.select(schema.names))
                assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table of named columns is a frame
                return self._wire(frame.rename(self._names))
        raise _TogetherError(max(rows, default=None))

    def _wire(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(
            pl.col(name).cast(pl.String) for name in self._shape.marks if frame.schema[name] != pl.String
        )

    def _frame(self, values: dict[str, list[object]]) -> pl.DataFrame:
        series = []
        for theirs, name in self._names.items():
            column = self._shape.wanted[name]
            textual = column.type in _TEXTUAL
            kind = pl.String() if textual else polars_type(column.type, column.scale)
            series.append(pl.Series(name, values[theirs], dtype=kind, strict=True))
        return pl.DataFrame(series)

    def _one_by_one(self, records: Sequence[bytes], start: int, refusals: Refusals) -> pl.DataFrame:
        values: dict[str, list[object]] = {theirs: [] for theirs in self._names}
        for row, record in enumerate(records):
            read = self._records.read(record)
            if isinstance(read, Unreadable):
                alone = self._at_once(record.strip(), 1) if read.deep else None
                if alone is None:
                    name = None if read.column is None else self._names[read.column]
                    refusals.rows.setdefault(start + row, (name, read.reason))
                    read = dict.fromkeys(self._names)
                else:
                    read = {theirs: alone[name][0] for theirs, name in self._names.items()}
            for theirs, column in values.items():
                column.append(read[theirs])
        return self._frame(values)

    def _typed(self, wire: pl.DataFrame, refusals: Refusals, nul: bool) -> tuple[pl.DataFrame, Refusals]:
        """Reads what JSON can only tell as a string."""
        typed = []
        for name, column in self._shape.wanted.items():
            series = wire[name]
            if column.type in _TEXTUAL:
                values, reason = read_text(series, column, TextOptions())
                refusals.add(name, reason, (values.is_null() & series.is_not_null()).arg_true())
                series = values
            elif column.type == "string" and nul:
                refusals.add(name, "has a NUL character, which a string cannot hold", with_nul(series))
            typed.append(series)
        return pl.DataFrame(typed), refusals


def _neighbours(text: bytes) -> int:
    """How many line ends stand between one object and the next; -1 if there are others."""
    ends = text.count(b"\n")
    if ends == 0:
        return 0
    between = text.count(b"}\n{")
    if between != ends and b"\r" in text:
        between += text.count(b"}\r\n{")
    return between if between == ends else -1
