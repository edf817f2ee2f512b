"""Parquet: batches of a row group become chunks of typed columns."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import IO, Any, Final

import orjson
import polars as pl
import polars.selectors
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from connectors.sources.contract import Chunk, Context, Position, Split
from connectors.sources.formats.rejected import Refusals, Reject, plain
from connectors.sources.formats.shape import FILE_SHIFT, Shape
from connectors.sources.formats.texts import TextOptions
from connectors.sources.formats.values import read_table
from schemas.errors import Fatal

SPLIT_BYTES: Final = 128 << 20


class ParquetOptions(BaseModel):
    """How Parquet is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_nan: bool = Field(default=False, description="Whether NaN and infinities are float64 values.")


class ParquetDecoder:
    """Reads Parquet from a file that can be sought in."""

    def __init__(self, options: ParquetOptions, shape: Shape, context: Context) -> None:
        self._shape = shape
        self._context = context
        self._texts = TextOptions(options.allow_nan)
        self.unknown_columns: set[str] = set()

    def parts(self, file: IO[bytes], split: Split) -> list[Split]:
        """The split itself, or runs of its row groups if it is large."""
        metadata = self._opened(file, split.name).metadata
        runs: list[list[int]] = []
        size = SPLIT_BYTES
        for group in range(metadata.num_row_groups):
            if size >= SPLIT_BYTES:
                runs.append([group, group])
                size = 0
            runs[-1][1] = group + 1
            size += metadata.row_group(group).total_byte_size
        if len(runs) <= 1:
            return [split]
        share = split.size // len(runs)
        return [Split(f"{split.name}#{a}-{b}", share, split.spec | {"groups": [a, b]}) for a, b in runs]

    def read(self, file: IO[bytes], label: str, split: Split, position: Position | None) -> Iterator[Chunk]:
        """Chunks from a position to the end of the split's row groups."""
        parquet = self._opened(file, label)
        identity = _identity(file)
        if position is not None and position["identity"] != identity:
            raise Fatal(f"{label} no longer holds what was already read of it; it was replaced")
        groups = split.spec.get("groups", [0, parquet.metadata.num_row_groups])
        start, skip = (groups[0], 0) if position is None else (int(position["group"]), int(position["row"]))
        wanted = self._columns(parquet, label)
        for group in range(start, groups[1]):
            first = sum(parquet.metadata.row_group(one).num_rows for one in range(group))
            rows = parquet.metadata.row_group(group).num_rows
            done = 0
            for batch in self._batches(parquet, group, wanted, label):
                done += batch.num_rows
                if group == start and done <= skip:
                    continue
                line = first + done - batch.num_rows + 1
                frame, rejects = self._decode(batch, label, line, int(split.spec["rank"]))
                at = {"group": group, "row": done} if done < rows else {"group": group + 1, "row": 0}
                ended = at["group"] >= groups[1]
                yield self._shape.chunk(frame, rejects, at | {"identity": identity}, at_end=ended)

    @staticmethod
    def _opened(file: IO[bytes], label: str) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(file, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise Fatal(f"{label} is no whole Parquet file: {error}") from error

    def _columns(self, parquet: pq.ParquetFile, label: str) -> list[str]:
        names = parquet.schema_arrow.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise Fatal(f"{label}: column {twice[0]} stands there twice")
        theirs = {self._shape.theirs(name) for name in self._shape.wanted}
        self.unknown_columns |= set(names) - theirs
        wanted = [name for name in names if name in theirs]
        if not wanted:
            raise Fatal(f"{label}: none of the declared columns is there; expected some of {', '.join(sorted(theirs))}")
        return wanted

    def _batches(self, parquet: pq.ParquetFile, group: int, wanted: list[str], label: str) -> Iterator[pa.RecordBatch]:
        described = parquet.metadata.row_group(group)
        width = max(1, described.total_byte_size // max(1, described.num_rows))
        rows = max(1, min(self._context.chunk_rows, self._context.chunk_bytes // width))
        try:
            yield from parquet.iter_batches(rows, row_groups=[group], columns=wanted, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise Fatal(f"{label} is damaged in row group {group}: {error}") from error

    def _decode(self, batch: pa.RecordBatch, label: str, line: int, rank: int) -> tuple[pl.DataFrame, list[Reject]]:
        typed, refusals = read_table(batch, self._shape, label, self._texts)
        lines = pl.int_range(line, line + batch.num_rows, eager=True)
        frame = self._shape.finish(typed, lines, lines + (rank << FILE_SHIFT), refusals)
        return frame, rejects_of(batch, typed, self._shape, refusals, lines)


def rejects_of(
    batch: pa.RecordBatch, typed: pl.DataFrame, shape: Shape, refusals: Refusals, lines: pl.Series
) -> list[Reject]:
    """Rows of a batch that were refused."""
    rejects = []
    for row, (column, reason) in refusals.rows.items():
        told = _told(batch, row)
        record = shape.record(typed.row(row, named=True), told)
        raw = orjson.dumps({name: plain(value) for name, value in told.items()})
        rejects.append(Reject(int(lines[row]), column, reason, raw, record, refusals.change(row)))
    return rejects


def _told(batch: pa.RecordBatch, row: int) -> dict[str, Any]:
    """A row, digit for digit."""
    frame = pl.from_arrow(batch.slice(row, 1))
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a batch of named columns is a frame
    exact = frame.with_columns(pl.selectors.temporal().cast(pl.String), pl.selectors.decimal().cast(pl.String))
    return exact.row(0, named=True)


def _identity(file: IO[bytes]) -> str:
    """A digest of the footer, which tells where every page is and what it holds at least and at most."""
    size = file.seek(0, os.SEEK_END)
    file.seek(size - 8)
    length = int.from_bytes(file.read(4), "little")
    file.seek(size - 8 - length)
    return hashlib.blake2b(file.read(length), digest_size=8).hexdigest()
