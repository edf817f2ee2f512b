"""What a source is: splits that are listed, and chunks that are read from a position.

Always holds: a chunk says for every record that was read either its typed row or why it was rejected
(`read == frame.height + rejects.height`), and reading from a chunk's position gives what follows that chunk,
nothing twice and nothing left out. Must not know: Kafka stage topics, epochs, runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import polars as pl
from pydantic import BaseModel

from schemas.columns import LINE, OP, POSITION, polars_type
from schemas.task.model import Changes, Column

CHUNK_ROWS: Final = 65_536
CHUNK_BYTES: Final = 8 << 20
MAX_RECORD_BYTES: Final = 16 << 20
RAW_BYTES: Final = 64 << 10  # how much of a rejected record is kept

REJECTS: Final[dict[str, pl.DataType]] = {
    LINE: pl.Int64(),
    "_column": pl.String(),
    "_reason": pl.String(),
    "_raw": pl.String(),  # its text, where it could not be cut into columns
    "_record": pl.String(),  # else the declared columns as a JSON object
    POSITION: pl.Int64(),  # its place in the order of changes, where the source tells them and it could be read
}

Position = dict[str, Any]


@dataclass(frozen=True)
class Split:
    """What one reader reads alone. `spec` is JSON. The same source is always listed the same."""

    name: str
    size: int  # bytes, estimated
    spec: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chunk:
    """Some records of a split, and the position behind them."""

    frame: pl.DataFrame  # the declared columns, `_line`, and for a source of changes `_pos` and `_op`
    rejects: pl.DataFrame  # REJECTS
    read: int
    position: Position
    at_end: bool  # nothing more was there when this was read


@dataclass(frozen=True)
class Context:
    """What a source is told beyond its own options. Secrets in `connection` and `kafka` are resolved."""

    base: Path
    source: str = "source"
    connection: Mapping[str, Any] = field(default_factory=dict, repr=False)
    kafka: Mapping[str, Any] = field(default_factory=dict, repr=False)  # librdkafka settings of the stack
    rename: Mapping[str, str] = field(default_factory=dict)
    changes: Changes | None = None
    primary_key: tuple[str, ...] = ()
    follow: bool = False
    chunk_rows: int = CHUNK_ROWS
    chunk_bytes: int = CHUNK_BYTES


class Source(Protocol):
    """An opened source. `unknown_columns` fills while reading: what the task does not name."""

    unknown_columns: set[str]

    def splits(self) -> list[Split]: ...

    def read(self, split: Split, position: Position | None) -> Iterator[Chunk]:
        """From a position (None: the start) to the present end."""
        ...

    def close(self) -> None: ...


class SourceKind(Protocol):
    """A connector: its name in a task, the config of its options, and how it is opened."""

    name: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    @staticmethod
    def open(config: Any, columns: dict[str, Column], context: Context) -> Source: ...


def frame_schema(columns: Mapping[str, Column], context: Context) -> dict[str, pl.DataType]:
    """The columns of every chunk's frame."""
    schema = {name: polars_type(column.type, column.scale) for name, column in columns.items()}
    schema[LINE] = pl.Int64()
    if context.changes is not None:
        schema |= {POSITION: pl.Int64(), OP: pl.Int8()}
    return schema
