"""Published files read back, row for row as they were written: CSV, JSON lines and Parquet, in pieces, typed.

What the exports have no form for comes back from the texts they put in its place (control_api/store/outbox_export.py).
Memory is bounded by a piece, whatever the size of a file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from schemas.columns import DECIMAL_PRECISION, ColumnType, polars_type
from schemas.errors import InvalidInput, Mistake

_PIECE: Final = 8 * 1024 * 1024
_ROWS: Final = 65_536
_MOMENT: Final = "%Y-%m-%dT%H:%M:%S%.fZ"
Pieces = Iterator[pl.DataFrame]


class OtherColumnsError(ValueError):
    """The data does not have the columns that it should have, or not their types."""


def read(files: Sequence[Path], columns: Mapping[str, ColumnType], more: bool = False) -> Pieces:
    """The rows of the files, one after another, with these columns in this order; `more`: the files may have others."""
    for file in files:
        form = form_of(file)
        try:
            for piece in form(file):
                yield _typed(file, piece, columns, more)
        except (
            OSError,
            UnicodeDecodeError,
            pa.ArrowException,
            pl.exceptions.PolarsError,
            orjson.JSONDecodeError,
        ) as error:
            raise _unreadable(file, str(error)) from error


def form_of(file: Path) -> Callable[[Path], Pieces]:
    forms = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    if file.suffix.lower() not in forms:
        raise InvalidInput(
            [Mistake(str(file), 1, "(file)", "is no .csv, .jsonl or .parquet file", "name one by its ending")]
        )
    return forms[file.suffix.lower()]


class _Ended(io.RawIOBase):
    """A text, with a line end behind the last line if it has none: there Arrow takes an empty value for a quoted one
    where one before it is quoted."""

    def __init__(self, text: IO[bytes]) -> None:
        super().__init__()
        self._text = text
        self._last = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._text.read(size)
        if data:
            self._last = data[-1:]
        elif size and self._last not in (b"", b"\n"):
            data = self._last = b"\n"
        return data


def _csv(file: Path) -> Pieces:
    with file.open(encoding="utf-8", newline="") as lines:
        names = next(csv.reader(lines), [])
    with (
        file.open("rb") as held,
        arrow_csv.open_csv(
            pa.PythonFile(_Ended(held), "r"),
            arrow_csv.ReadOptions(block_size=_PIECE, use_threads=False),
            arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        ) as reader,
    ):
        yield pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        for batch in reader:
            yield _frame(batch)


def _json_lines(file: Path) -> Pieces:
    with file.open("rb") as lines:
        while piece := lines.readlines(_PIECE):
            first = orjson.loads(piece[0])
            if not isinstance(first, dict):
                raise _unreadable(file, "a line is no JSON object")
            yield pl.read_ndjson(io.BytesIO(b"".join(piece)), schema=dict.fromkeys(first, pl.String))


def _parquet(file: Path) -> Pieces:
    with pq.ParquetFile(file) as found:
        yield _frame(found.schema_arrow.empty_table())
        for batch in found.iter_batches(_ROWS):
            yield _frame(batch)


def _frame(data: Any) -> pl.DataFrame:
    frame = pl.from_arrow(data)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  # that is what a table becomes
    return frame


def _typed(file: Path, piece: pl.DataFrame, columns: Mapping[str, ColumnType], more: bool) -> pl.DataFrame:
    lacks = [name for name in columns if name not in piece.columns]
    beyond = [] if more else [name for name in piece.columns if name not in columns]
    if lacks or beyond:
        told = [f"lacks the column{'s' * (len(lacks) > 1)} {', '.join(lacks)}"] if lacks else []
        told += [f"has {', '.join(beyond)}, which was not certified"] if beyond else []
        raise OtherColumnsError(f"{file} {' and '.join(told)}")
    return pl.DataFrame([_values(file, piece[name], kind).alias(name) for name, kind in columns.items()])


def _values(file: Path, values: pl.Series, kind: ColumnType) -> pl.Series:
    try:
        return _parsed(values, kind) if values.dtype == pl.String else _cast(values, kind)
    except pl.exceptions.PolarsError as error:
        raise OtherColumnsError(f"{file}: not every value of {values.name} is of type {kind}") from error


def _cast(values: pl.Series, kind: ColumnType) -> pl.Series:
    return values if kind == "decimal" and values.dtype.is_decimal() else values.cast(polars_type(kind))


def _parsed(values: pl.Series, kind: ColumnType) -> pl.Series:
    """From the texts of CSV and JSON lines."""
    if kind == "date":
        return values.str.to_date("%Y-%m-%d")
    if kind == "timestamp":
        return values.str.to_datetime(_MOMENT, time_unit="us", time_zone="UTC")
    if kind == "bool":
        return values.replace_strict(["true", "false"], [True, False], return_dtype=pl.Boolean)
    if kind == "binary":
        return values.str.decode("base64")
    if kind == "decimal":
        places = values.str.split(".").list.get(1, null_on_oob=True).str.len_chars().max()
        return values.cast(pl.Decimal(DECIMAL_PRECISION, places if isinstance(places, int) else 0))
    return values.cast(polars_type(kind))


def _unreadable(file: Path, why: str) -> InvalidInput:
    line = (why.strip().splitlines() or ["it can't be opened"])[0]
    return InvalidInput([Mistake(str(file), 1, "(file)", f"can't be read: {line}", "give a file as it was exported")])
