"""Whole records of delimited text become columns of texts, one for each field that is asked for.

Always holds: both ways give the same texts, whatever stands around a record: an unquoted empty field is null, a quoted
one an empty text. polars cuts faster; Arrow also tells which records have too few or too many fields, and keeps other
null values apart from quoted texts. Must not know: types, and where in the file a record stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from connectors.sources.contract import CHUNK_BYTES
from connectors.sources.formats.records import BOM, Dialect, Records


@dataclass(frozen=True)
class Fields:
    """What a record holds, and which of it is wanted."""

    dialect: Dialect
    null_values: tuple[str, ...]
    count: int
    found: dict[str, int]  # name: index of the field

    def mostly_found(self) -> bool:
        return 2 * len(self.found) >= self.count

    def first(self) -> bytes:
        """A record with the right number of fields. Where it stands first, polars takes nothing else for a sign: no
        record for the number of fields, no characters that a packed file, or one with a byte order mark, begins with.
        """
        letter = next(one for one in "abc" if one not in (self.dialect.delimiter, self.dialect.quote))
        return f"{self.dialect.delimiter.join([letter] * self.count)}\n".encode()


def _between(first: bytes, records: bytes | memoryview) -> bytes:
    """Records that begin behind `first` and end with a line end: a reader's rules for where a file begins and ends
    are not for where a block does."""
    return b"".join([first, records, b"" if records[-1:] == b"\n" else b"\n"])


def cut_quickly(data: bytes, records: Records, fields: Fields) -> pl.DataFrame | None:
    """None where only `cut_exactly` can tell, or where a field is no UTF-8.

    Every field is read, which pays where most of them are wanted.
    """
    if not (records.plain and fields.mostly_found() and fields.null_values == ("",)):
        return None
    try:
        frame = pl.read_csv(
            _between(fields.first(), memoryview(data)[: records.size]),
            has_header=False,
            schema={f"{index}": pl.String() for index in range(fields.count)},
            infer_schema=False,
            separator=fields.dialect.delimiter,
            quote_char=fields.dialect.quote or None,
            truncate_ragged_lines=False,  # a record with too many fields is an error
        )[1:]
    except pl.exceptions.PolarsError:
        return None
    if frame.height != len(records.line) or _short(frame, data, records, fields.dialect):
        return None
    return frame.select(pl.col(f"{index}").alias(name) for name, index in fields.found.items())


def _short(frame: pl.DataFrame, data: bytes, records: Records, dialect: Dialect) -> bool:
    """Whether a record has too few fields: polars fills it up with nulls, for which no delimiters stand there."""
    held, delimiter = np.frombuffer(data, np.uint8), ord(dialect.delimiter)
    rows = np.arange(frame.height)
    for behind, name in enumerate(reversed(frame.columns[1:]), start=1):
        column = frame[name]
        if not column.null_count():
            return False
        rows = rows[column.is_null().to_numpy()[rows]]
        places = records.ends[rows] - behind
        if (places < records.starts[rows]).any() or (held[places] != delimiter).any():
            return True
    return False


def cut_exactly(text: bytes | memoryview, fields: Fields) -> tuple[pl.DataFrame, dict[int, int]]:
    """The records with the right number of fields, and of each other one (by its row) how many it has."""
    odd: dict[int, int] = {}

    def skip(row: Any) -> str:
        odd[row.number - 1] = row.actual_columns
        return "skip"

    text = _between(BOM, text)  # Arrow leaves out one byte order mark in front, and takes no other for one
    names = {f"{index}": name for name, index in fields.found.items()}
    table = pyarrow.csv.read_csv(
        pa.BufferReader(text),
        read_options=pyarrow.csv.ReadOptions(
            column_names=[f"{index}" for index in range(fields.count)],
            use_threads=False,
            block_size=max(len(text) + 1, CHUNK_BYTES),
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=fields.dialect.delimiter,
            quote_char=fields.dialect.quote or False,
            newlines_in_values=bool(fields.dialect.quote),
            invalid_row_handler=skip,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(names),
            column_types=dict.fromkeys(names, pa.string()),
            null_values=list(fields.null_values),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table of named columns is a frame
    return frame.rename(names), odd
