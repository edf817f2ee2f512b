"""Files of JSON lines: one, a directory of them, or a glob; plain or compressed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from connectors.sources.contract import Chunk, Context, Position, Source, Split
from connectors.sources.formats.inputs import opened
from connectors.sources.formats.jsonl import JsonlDecoder, JsonlOptions
from connectors.sources.formats.listing import Listing
from connectors.sources.formats.shape import Shape
from connectors.sources.formats.window import Window
from schemas.task.model import Column


class JsonlConfig(JsonlOptions):
    """A source of JSON lines: `{connector: jsonl, path: data/customers.jsonl}`."""

    path: str = Field(min_length=1, description="A file, a directory or a glob, relative to the task file.")


class Jsonl:
    """Reads files of JSON lines."""

    name: ClassVar[str] = "jsonl"
    Config: ClassVar[type[JsonlConfig]] = JsonlConfig

    @staticmethod
    def open(config: JsonlConfig, columns: dict[str, Column], context: Context) -> Source:
        return JsonlFiles(config, columns, context)


class JsonlFiles:
    """The files of one source."""

    def __init__(self, config: JsonlConfig, columns: dict[str, Column], context: Context) -> None:
        self._config = config
        self._listing = Listing(config.path, (".jsonl", ".ndjson", ".json"), context)
        self._decoder = JsonlDecoder(config, Shape(columns, context), context)
        self.unknown_columns = self._decoder.unknown_columns

    def splits(self) -> list[Split]:
        return self._listing.splits()

    def read(self, split: Split, position: Position | None) -> Iterator[Chunk]:
        with opened(self._listing.path(split), split.name, self._config.encoding) as source:
            window = Window(source)
            yield from self._decoder.read(window, position, int(split.spec["rank"]))

    def close(self) -> None:
        """Files are open only while they are read."""
