"""Parquet files: one, a directory of them, or a glob."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, ClassVar

from pydantic import Field

from connectors.sources.contract import Chunk, Context, Position, Source, Split
from connectors.sources.formats.listing import Listing
from connectors.sources.formats.parquet import SPLIT_BYTES, ParquetDecoder, ParquetOptions
from connectors.sources.formats.shape import Shape
from schemas.errors import Fatal
from schemas.task.model import Column


class ParquetConfig(ParquetOptions):
    """A Parquet source: `{connector: parquet, path: data/orders.parquet}`."""

    path: str = Field(min_length=1, description="A file, a directory or a glob, relative to the task file.")


class Parquet:
    """Reads Parquet files."""

    name: ClassVar[str] = "parquet"
    Config: ClassVar[type[ParquetConfig]] = ParquetConfig

    @staticmethod
    def open(config: ParquetConfig, columns: dict[str, Column], context: Context) -> Source:
        return ParquetFiles(config, columns, context)


class ParquetFiles:
    """The files of one source; a large one is several splits, by its row groups."""

    def __init__(self, config: ParquetConfig, columns: dict[str, Column], context: Context) -> None:
        self._listing = Listing(config.path, (".parquet", ".pq"), context)
        self._decoder = ParquetDecoder(config, Shape(columns, context), context)
        self.unknown_columns = self._decoder.unknown_columns

    def splits(self) -> list[Split]:
        splits = []
        for split in self._listing.splits():
            if split.size <= SPLIT_BYTES:
                splits.append(split)
                continue
            with self._file(split) as file:
                splits += self._decoder.parts(file, split)
        return splits

    def read(self, split: Split, position: Position | None) -> Iterator[Chunk]:
        with self._file(split) as file:
            yield from self._decoder.read(file, str(split.spec["path"]), split, position)

    @contextmanager
    def _file(self, split: Split) -> Iterator[IO[bytes]]:
        try:
            file = self._listing.path(split).open("rb")
        except OSError as error:
            raise Fatal(f"{split.name} cannot be opened: {error.strerror}") from error
        with file:
            yield file

    def close(self) -> None:
        """Files are open only while they are read."""
