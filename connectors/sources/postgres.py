"""A table or a query of a PostgreSQL database, read in full.

Always holds: rows come in a fixed order (by their place in the table; a query's by their text), and a digest of the
rows before a position is checked on return, so a source that changed meanwhile is an error and not a gap.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import polars as pl
import psycopg
import pyarrow as pa
from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.sources.contract import Chunk, Context, Position, Source, Split
from connectors.sources.formats.parquet import rejects_of
from connectors.sources.formats.shape import Shape
from connectors.sources.formats.texts import TextOptions
from connectors.sources.formats.values import read_table
from schemas.errors import Fatal, InvalidInput, MetalError, Mistake, Retriable
from schemas.task.model import Column

PAGE_BYTES: Final = 8192
SPLIT_PAGES: Final = 1 << 15  # 256 MiB
_AS_IS: Final = frozenset({"bool", "int2", "int4", "int8", "float4", "float8", "bytea", "text", "varchar", "bpchar"})
_WRONG_SQL: Final = "42"  # the class of SQLSTATEs of wrong names, wrong syntax and missing rights


class PostgresConfig(BaseModel):
    """A table or a query: `{connector: postgres, connection: shop_db, table: public.product}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str | None = Field(default=None, min_length=1, description="A table, with or without its schema.")
    query: str | None = Field(default=None, min_length=1, description="A SELECT, instead of a table.")
    allow_nan: bool = Field(default=False, description="Whether NaN and infinities are float64 values.")

    @model_validator(mode="after")
    def _names_one(self) -> PostgresConfig:
        if (self.table is None) == (self.query is None):
            raise ValueError("give either table or query")
        return self


class Postgres:
    """Reads from a PostgreSQL database."""

    name: ClassVar[str] = "postgres"
    Config: ClassVar[type[PostgresConfig]] = PostgresConfig
    ordered: ClassVar[bool] = False  # rows have no order of their own, so changes need order_by

    @staticmethod
    def open(config: PostgresConfig, columns: dict[str, Column], context: Context) -> Source:
        return Relation(config, columns, context)


class Relation:
    """An opened table or query; a large table is several splits, by its pages."""

    def __init__(self, config: PostgresConfig, columns: dict[str, Column], context: Context) -> None:
        self.unknown_columns: set[str] = set()
        self._config = config
        self._context = context
        self._shape = Shape(columns, context)
        self._texts = TextOptions(config.allow_nan)
        self._label = config.table or "the query"
        url = context.connection.get("url")
        if not isinstance(url, str):
            raise self._mistake("connection", "no database is named", "give a connection with a url")
        self._url = url
        if context.changes is not None and context.changes.order_by is None:
            raise self._mistake("changes", "rows of a database have no order of their own", "set order_by")

    def splits(self) -> list[Split]:
        if self._config.query is not None:
            return [Split("query", 0, {})]
        with self._session() as session:
            row = session.execute(
                "select c.relkind, pg_relation_size(c.oid) from pg_class c where c.oid = %s::regclass", [self._table()]
            ).fetchone()
        kind, size = row or ("", 0)
        pages = -(-int(size) // PAGE_BYTES)
        if str(kind) not in "rm" or pages <= SPLIT_PAGES:
            return [Split(self._label, int(size), {"pages": None} if str(kind) in "rm" else {})]
        starts = range(0, pages, SPLIT_PAGES)
        # the last split has no end: pages may have come since
        ends = [*starts[1:], None]
        return [
            Split(f"{self._label}#{a}", SPLIT_PAGES * PAGE_BYTES, {"pages": [a, b]})
            for a, b in zip(starts, ends, strict=True)
        ]

    def read(self, split: Split, position: Position | None) -> Iterator[Chunk]:
        skip = 0 if position is None else int(position["rows"])
        digest = b""
        done = 0
        for batch, ended in self._batches(self._select(split)):
            digest = _chained(digest, batch)
            first, done = done, done + batch.num_rows
            if done == skip and position is not None and digest.hex() != position["digest"]:
                raise self._changed()
            if done <= skip:
                continue
            if first < skip:
                raise self._changed()
            lines = pl.int_range(first + 1, done + 1, eager=True)
            typed, refusals = read_table(batch, self._shape, self._label, self._texts)
            frame = self._shape.finish(typed, lines, lines, refusals)
            place = {"rows": done, "digest": digest.hex()}
            yield self._shape.chunk(frame, rejects_of(batch, typed, self._shape, refusals, lines), place, at_end=ended)
        if done < skip:
            raise self._changed()

    def _changed(self) -> Fatal:
        return Fatal(f"{self._label} changed while it was read; what was read before cannot be told from the rest")

    def _table(self) -> str:
        return ".".join(f'"{part}"' for part in (self._config.table or "").replace('"', "").split("."))

    def _select(self, split: Split) -> str:
        """The columns that are wanted, in a form that holds their values exactly."""
        relation = sql.SQL(self._table() if self._config.query is None else f"({self._config.query})")
        with self._session() as session:
            probe = session.execute(sql.SQL("select * from {} as source limit 0").format(relation))
            described = [(column.name, column.type_code) for column in probe.description or []]
            names = [name for name, _ in described]
            kinds = dict(session.execute("select oid::int8, typname from pg_type").fetchall())
            theirs = {self._shape.theirs(name) for name in self._shape.wanted}
            self.unknown_columns |= set(names) - theirs
            chosen = [(name, str(kinds.get(code))) for name, code in described if name in theirs]
            self._check(names, chosen, theirs)
            parts = sql.SQL(", ").join(_expression(name, kind) for name, kind in chosen)
            pages = split.spec.get("pages", "none")
            order = sql.SQL('(source.*)::text collate "C"' if pages == "none" else "source.ctid")
            query = sql.SQL("select {} from {} as source {} order by {}").format(parts, relation, _range(pages), order)
            return query.as_string(session)

    def _check(self, names: list[str], chosen: list[tuple[str, str]], theirs: set[str]) -> None:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._mistake("query", f"column {twice[0]} stands there twice", "give each its own name")
        if not chosen:
            raise self._mistake(
                "table", "none of the declared columns is there", f"expected {', '.join(sorted(theirs))}"
            )

    def _batches(self, query: str) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """Batches of at most a chunk's rows, and whether each is the last."""
        try:
            with adbc.connect(self._url) as connection, connection.cursor() as cursor:
                cursor.adbc_statement.set_options(
                    **{"adbc.postgresql.batch_size_hint_bytes": str(self._context.chunk_bytes)}
                )
                for setting in ("datestyle to iso", "timezone to utc", "intervalstyle to iso_8601"):
                    cursor.execute(f"set {setting}")
                cursor.execute(query)
                held: pa.RecordBatch | None = None
                for batch in cursor.fetch_record_batch():
                    for start in range(0, batch.num_rows, self._context.chunk_rows):
                        if held is not None:
                            yield held, False
                        held = batch.slice(start, self._context.chunk_rows)
                if held is not None:
                    yield held, True
        except (adbc_driver_manager.Error, pa.ArrowException) as error:
            raise _failure(self._label, getattr(error, "sqlstate", None), None) from None

    @contextmanager
    def _session(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        try:
            with psycopg.connect(self._url, autocommit=True, connect_timeout=10) as session:
                yield session
        except psycopg.ProgrammingError as error:
            if error.sqlstate is None:  # the message would show the address, and a password in it
                raise self._mistake("connection", "its url is no PostgreSQL address", "see postgresql://") from None
            raise _failure(self._label, error.sqlstate, error.diag.message_primary) from None
        except psycopg.Error as error:
            raise _failure(self._label, error.sqlstate, error.diag.message_primary) from None

    def _mistake(self, path: str, wrong: str, right: str) -> InvalidInput:
        return InvalidInput([Mistake("task", 0, f"sources.{self._context.source}.{path}", wrong, right)])

    def close(self) -> None:
        """Connections are open only while they are read from."""


def _expression(name: str, kind: str) -> sql.Composable:
    column = sql.Identifier("source", name)
    if kind in _AS_IS:
        return sql.SQL("{} as {}").format(column, sql.Identifier(name))
    form = "to_json({})::text as {}" if kind.startswith("_") or kind == "record" else "{}::text as {}"
    return sql.SQL(form).format(column, sql.Identifier(name))


def _range(pages: Any) -> sql.Composable:
    if not isinstance(pages, list):
        return sql.SQL("")
    low = sql.SQL("where source.ctid >= {}::tid").format(sql.Literal(f"({pages[0]},0)"))
    if pages[1] is None:
        return low
    return sql.SQL("{} and source.ctid < {}::tid").format(low, sql.Literal(f"({pages[1]},0)"))


def _chained(digest: bytes, batch: pa.RecordBatch) -> bytes:
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a batch of named columns is a frame
    hashes = frame.hash_rows(seed=0).to_list()
    return hashlib.blake2b(digest + array("Q", hashes).tobytes(), digest_size=8).digest()


def _failure(label: str, state: str | None, message: str | None) -> MetalError:
    """An error without what the database may quote from the data; nor is its own error chained to it."""
    if state is None or state[:2] in ("08", "53", "57"):
        return Retriable(f"the database of {label} does not answer")
    told = message if state.startswith(_WRONG_SQL) and message else f"SQLSTATE {state}"
    return Fatal(f"{label} cannot be read: {told}")
