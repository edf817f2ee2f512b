"""CSV files: one, a directory of them, or a glob; plain or compressed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from connectors.sources.contract import Chunk, Context, Position, Source, Split
from connectors.sources.formats.csv import CsvDecoder, CsvOptions
from connectors.sources.formats.inputs import opened
from connectors.sources.formats.listing import Listing
from connectors.sources.formats.shape import Shape
from connectors.sources.formats.window import Window
from schemas.task.model import Column


class CsvConfig(CsvOptions):
    """A CSV source: `{connector: csv, path: data/crm.csv}`."""

    path: str = Field(min_length=1, description="A file, a directory or a glob, relative to the task file.")


class Csv:
    """Reads CSV files."""

    name: ClassVar[str] = "csv"
    Config: ClassVar[type[CsvConfig]] = CsvConfig

    @staticmethod
    def open(config: CsvConfig, columns: dict[str, Column], context: Context) -> Source:
        return CsvFiles(config, columns, context)


class CsvFiles:
    """The CSV files of one source."""

    def __init__(self, config: CsvConfig, columns: dict[str, Column], context: Context) -> None:
        self.unknown_columns: set[str] = set()
        self._config = config
        self._listing = Listing(config.path, (".csv", ".tsv", ".txt"), context)
        self._decoder = CsvDecoder(config, Shape(columns, context), context)

    def splits(self) -> list[Split]:
        return self._listing.splits()

    def read(self, split: Split, position: Position | None) -> Iterator[Chunk]:
        with opened(self._listing.path(split), split.name, self._config.encoding) as source:
            window = Window(source)
            layout = self._decoder.layout(window)
            if layout is not None:
                self.unknown_columns |= set(layout.unknown)
                yield from self._decoder.read(window, layout, position, int(split.spec["rank"]))

    def close(self) -> None:
        """Files are open only while they are read."""
