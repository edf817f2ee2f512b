"""Prepared tables as files: JSON lines, CSV, Parquet, Avro. Streamed, so memory is bounded by a batch.

Every format keeps every value: decimals digit by digit (as texts in JSON lines and CSV), timestamps in UTC, in CSV a
null is nothing between two commas and an empty text is "". Bytes are base64 in the two text formats. With
provenance the columns of provenance.py come first; CSV has the changes as `column:rule;column:rule`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Literal

import adbc_driver_postgresql.dbapi as adbc
import fastavro
import orjson
import polars as pl
import polars.selectors as cs
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from fastavro.write import Writer
from psycopg import sql

from control_api.store.db import retriable
from control_api.store.outbox import CHANGES, OWN_COLUMNS, TablePlan, plan_of, table_of
from control_api.store.provenance import decoded
from schemas.columns import DECIMAL_PRECISION, polars_type
from schemas.errors import Retriable

Format = Literal["jsonl", "csv", "parquet", "avro"]
MEDIA_TYPES: Final[dict[Format, str]] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "avro": "application/avro",
}
_BATCH_BYTES: Final = 4 * 1024 * 1024
_MOMENT: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"


def address_of(conn: psycopg.Connection[Any]) -> str:
    """Where a connection goes, password included: a long read takes a connection of its own."""
    return psycopg.conninfo.make_conninfo(conn.info.dsn, password=conn.info.password or None)


def export(
    url: str, run: str, table: str, form: Format, provenance: bool = False, at: str | None = None
) -> Iterator[bytes]:
    """The file, in pieces. What is wrong with the request is raised before the first; `at` as in `frames`."""
    write: dict[Format, Callable[[Iterator[pl.DataFrame]], Iterator[bytes]]] = {
        "jsonl": _json_lines,
        "csv": _csv,
        "parquet": _parquet,
        "avro": partial(_avro, table),
    }
    return write[form](frames(url, run, table, provenance, at))


def frames(url: str, run: str, table: str, provenance: bool = False, at: str | None = None) -> Iterator[pl.DataFrame]:
    """The rows as every format has them, in batches, one at least. That there is no such table is raised at once.

    `at` names a snapshot of the database, which has to stand until this has returned.
    """
    with retriable(), psycopg.connect(url, connect_timeout=10) as conn:
        if at is not None:
            for statement in _setting(at):
                conn.execute(statement.encode())
        plan = plan_of(conn, run, table)
        scales = {name: _scale(conn, run, table, name) for name, kind in plan.columns.items() if kind == "decimal"}
    found = read(url, _query(run, table, plan, provenance), at)
    return _frames(found, run, plan, scales, provenance)


def _scale(conn: psycopg.Connection[Any], run: str, table: str, column: str) -> int:
    """How many digits behind the point the column's values have; every value fits, none is rounded."""
    query = sql.SQL("SELECT coalesce(max(scale({})), 0) FROM {}").format(sql.Identifier(column), table_of(run, table))
    row = conn.execute(query).fetchone()
    return int(row[0]) if row else 0


def _frames(
    found: Iterator[pl.DataFrame], run: str, plan: TablePlan, scales: dict[str, int], provenance: bool
) -> Iterator[pl.DataFrame]:
    """The table in batches, one at least, under its declared types."""
    types = {name: polars_type(kind, scales.get(name, 0)) for name, kind in plan.columns.items()}
    own = {"_id": pl.Int64(), "_version": pl.Int32(), "_source": pl.Int16(), CHANGES: pl.Int64()} if provenance else {}
    empty = pl.DataFrame(schema={**own, **types})
    yield _finished(empty, run, plan, provenance)
    for frame in found:
        typed = frame.with_columns(pl.col(name).cast(kind) for name, kind in types.items())
        yield _finished(typed.select(empty.columns), run, plan, provenance)


def _finished(frame: pl.DataFrame, run: str, plan: TablePlan, provenance: bool) -> pl.DataFrame:
    return decoded(frame, run, plan) if provenance else frame


def _query(run: str, table: str, plan: TablePlan, provenance: bool) -> str:
    own = [sql.Identifier(name) for name in OWN_COLUMNS if name != CHANGES] + [sql.SQL("_changes::bigint AS _changes")]
    declared = [
        sql.SQL("{0}::text AS {0}" if kind == "decimal" else "{0}").format(sql.Identifier(name))
        for name, kind in plan.columns.items()
    ]
    chosen = sql.SQL(", ").join([*(own if provenance else []), *declared])
    return sql.SQL("SELECT {} FROM {}").format(chosen, table_of(run, table)).as_string()


def read(url: str, query: str, at: str | None = None) -> Iterator[pl.DataFrame]:
    """What a query gives, in batches; `at` names a snapshot of the database, which is taken up at once."""
    return _batches(url, query, None if at is None else _as_at(url, at))


def _as_at(url: str, snapshot: str) -> adbc.Connection:
    try:
        conn = adbc.connect(url)
        try:
            with conn.cursor() as cursor:
                for statement in (*_setting(snapshot), "SET TimeZone = 'UTC'"):
                    cursor.execute(statement)
        except adbc.Error:
            conn.close()
            raise
    except adbc.Error as error:
        raise Retriable("the review store went away before a table was read") from error
    return conn


def _setting(snapshot: str) -> tuple[str, str]:
    taken = sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)).as_string()
    return "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", taken


def _batches(url: str, query: str, at: adbc.Connection | None) -> Iterator[pl.DataFrame]:
    try:
        with at or adbc.connect(url) as conn, conn.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
            cursor.execute(query)
            for batch in cursor.fetch_record_batch():
                frame = pl.from_arrow(batch)
                if isinstance(frame, pl.DataFrame):
                    yield frame
    except adbc.OperationalError as error:
        raise Retriable("the review store went away while a table was read") from error


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    """As texts what neither JSON nor CSV has a form for."""
    return frame.with_columns(
        cs.decimal().cast(pl.String),
        cs.binary().bin.encode("base64"),
        cs.datetime().dt.strftime(_MOMENT),
        cs.date().cast(pl.String),
    )


def _json_lines(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    for frame in frames:
        texts = _texts(frame)
        odd = texts.select((~cs.float().is_finite()).any())
        if any(odd.row(0)) if odd.width else False:
            yield b"".join(orjson.dumps(_named(row)) + b"\n" for row in texts.iter_rows(named=True))
        elif texts.height:
            lines = io.BytesIO()
            texts.write_ndjson(lines)
            yield lines.getvalue()


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no number that isn't finite."""
    names = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
    return {key: names.get(str(value), value) if isinstance(value, float) else value for key, value in row.items()}


def _csv(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    for n, frame in enumerate(frames):
        texts = _texts(frame)
        if CHANGES in texts.columns:
            pair = pl.concat_str(pl.element().struct.field("column"), pl.lit(":"), pl.element().struct.field("rule"))
            texts = texts.with_columns(pl.col(CHANGES).list.eval(pair).list.join(";"))
        lines = io.BytesIO()
        texts.write_csv(lines, include_header=n == 0)
        yield lines.getvalue()


class _Sink(io.RawIOBase):
    """A file that is emptied as it is written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._parts.append(piece)
        self._at += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._at

    def drain(self) -> bytes:
        found = b"".join(self._parts)
        self._parts.clear()
        return found


def _parquet(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    sink = _Sink()
    first = _arrow(next(frames))
    with pq.ParquetWriter(sink, first.schema, compression="zstd") as writer:
        for frame in frames:
            writer.write_table(_arrow(frame).cast(first.schema))
            yield sink.drain()
    yield sink.drain()


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _avro(table: str, frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    sink = _Sink()
    first = next(frames)
    file: Any = sink
    writer = Writer(file, fastavro.parse_schema(avro_schema(table, first.schema), named_schemas={}), codec="deflate")
    for frame in frames:
        # Fastavro takes days and microseconds as they are; Python's dates end at the year 9999.
        numbers = frame.with_columns(cs.date().to_physical(), cs.datetime().to_physical())
        for row in numbers.iter_rows(named=True):
            writer.write(row)
        yield sink.drain()
    writer.flush()
    yield sink.drain()


def avro_schema(table: str, columns: pl.Schema) -> dict[str, Any]:
    fields = [{"name": name, "type": ["null", _avro_type(kind)], "default": None} for name, kind in columns.items()]
    return {"type": "record", "name": table, "namespace": "metal.prepared", "fields": fields}


def _avro_type(kind: pl.DataType) -> Any:
    if isinstance(kind, pl.Decimal):
        return {"type": "bytes", "logicalType": "decimal", "precision": DECIMAL_PRECISION, "scale": kind.scale}
    if isinstance(kind, pl.List):
        pair = [{"name": name, "type": "string"} for name in ("column", "rule")]
        return {"type": "array", "items": {"type": "record", "name": "change", "fields": pair}}
    simple: dict[type[pl.DataType], Any] = {
        pl.String: "string",
        pl.Int64: "long",
        pl.Int32: "int",
        pl.Float64: "double",
        pl.Boolean: "boolean",
        pl.Binary: "bytes",
        pl.Date: {"type": "int", "logicalType": "date"},
        pl.Datetime: {"type": "long", "logicalType": "timestamp-micros"},
    }
    return simple[type(kind)]
