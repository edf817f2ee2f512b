"""Rows into PostgreSQL by COPY, in the caller's transaction. They come as Arrow has them, and go on without a copy.

A column whose value is the table's default in every row (a removed name, a record no rule changed) isn't sent at all:
each column costs some ten percent of COPY. The others go in PostgreSQL's binary form (connectors/review/binary.py),
which knows no types of its own: a column is brought to the Arrow type of its declared type here, or not at all.
Measured against CSV and against ADBC in benchmarks/review.py.

PostgreSQL gives one COPY 16 MiB of its buffers and writes them out itself, its log first, before it fills them again.
So no COPY is longer than that: what it fills stays in memory until the checkpointer comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from connectors.failpoints import hit
from connectors.review import binary
from control_api.store.outbox import CHANGES, IDENTITY, SOURCE, VERSION, TablePlan, table_of
from schemas import batch, columns
from schemas.errors import Fatal

Connection = psycopg.Connection[Any]

STAGE = sql.SQL("CREATE TEMP TABLE IF NOT EXISTS metal_changed (_id bigint) ON COMMIT DELETE ROWS")

_FILLS: Final = 12 * 1024 * 1024  # bytes of a table that one COPY fills
_ROW: Final = 36  # bytes of a row in PostgreSQL, beside its values
_ROW_NUMBER: Final = "_row"
_WIDTH: Final = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}


def append(conn: Connection, run: str, table: str, plan: TablePlan, sent: pa.Table, version: int) -> int:
    """Adds rows none of which can be there already. Returns how many PostgreSQL says it took."""
    if not sent.num_rows:
        return 0
    ready = _texts_last(_defaults_left_out(_stored(sent, plan, version)))
    names = sql.SQL(", ").join(map(sql.Identifier, ready.column_names))
    taken = _copy(conn, sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table_of(run, table), names), ready)
    hit("review.after_copy")
    return taken


def change(conn: Connection, run: str, table: str, plan: TablePlan, sent: pa.Table, version: int) -> int:
    """Applies upserts and deletions in their order: of several of one identity the last one counts.

    Returns by how many the rows have become more, which may be fewer than none.
    """
    marks = batch.frame_of(sent.select([columns.IDENTITY, columns.OP])).with_row_index(_ROW_NUMBER)
    last = marks.unique(columns.IDENTITY, keep="last", maintain_order=True)
    changed = pa.table({IDENTITY: last.get_column(columns.IDENTITY).cast(pl.Int64).to_arrow()})
    _copy(conn, sql.SQL("COPY metal_changed FROM STDIN (FORMAT binary)"), changed)
    there = sql.SQL("DELETE FROM {} AS t USING metal_changed AS c WHERE t._id = c._id")
    gone = conn.execute(there.format(table_of(run, table))).rowcount
    conn.execute("TRUNCATE metal_changed")
    kept = last.filter(pl.col(columns.OP) == 0).get_column(_ROW_NUMBER)
    return append(conn, run, table, plan, sent.take(kept.to_arrow()), version) - gone


def _copy(conn: Connection, statement: sql.SQL | sql.Composed, ready: pa.Table) -> int:
    taken = 0
    with conn.cursor() as cursor:
        for portion in _portions(ready):
            with cursor.copy(statement) as copy:
                copy.write(binary.SIGNATURE)
                for piece in binary.slices(portion):
                    copy.write(piece)
                copy.write(binary.END)
            taken += cursor.rowcount
    return taken


def _portions(ready: pa.Table) -> Iterator[pa.Table]:
    height = ready.num_rows
    at_once = max(1, _FILLS * height // (ready.nbytes + _ROW * height))
    return (ready.slice(at, at_once) for at in range(0, height, at_once))


def _stored(sent: pa.Table, plan: TablePlan, version: int) -> pa.Table:
    """The batch's columns under the names and types of the review store."""
    needed = (columns.IDENTITY, columns.SOURCE, columns.CHANGED, *plan.columns)
    missing = [name for name in needed if name not in sent.column_names]
    if missing:
        raise Fatal(f"a batch lacks the columns {', '.join(missing)}, which the review store holds")
    for name in needed[:3]:
        if sent[name].null_count:
            raise Fatal(f"a batch brings rows without a value in column {name}, which every row has")
    own = {
        IDENTITY: _cast(sent, columns.IDENTITY, pa.int64()),
        VERSION: pa.repeat(pa.scalar(version, pa.int32()), sent.num_rows),
        SOURCE: _signed(_cast(sent, columns.SOURCE, pa.uint16()), pa.int16()),
        CHANGES: _signed(_cast(sent, columns.CHANGED, pa.uint64()), pa.int64()).cast(_WIDTH[plan.change_bits]),
    }
    return pa.table({**own, **{name: _typed(sent, name, kind) for name, kind in plan.columns.items()}})


def _cast(sent: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return sent[name].cast(kind)
    except pa.ArrowException as error:
        raise Fatal(f"a batch brings values in column {name} that are no {kind}") from error


def _signed(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([chunk.view(kind) for chunk in column.chunks], kind)


def _typed(sent: pa.Table, name: str, kind: columns.ColumnType) -> pa.ChunkedArray:
    found = sent[name].type
    if pa.types.is_null(found):
        return sent[name]
    if pa.types.is_integer(found) and kind == "int64":
        return _cast(sent, name, pa.int64())
    if not _HOLDS[kind](found):
        raise Fatal(f"a batch brings column {name} as {found}; the review store holds it as {kind}")
    return sent[name]


_HOLDS: Final[dict[columns.ColumnType, Callable[[pa.DataType], bool]]] = {
    "string": pa.types.is_string,
    "int64": pa.types.is_int64,
    "float64": pa.types.is_float64,
    "decimal": pa.types.is_decimal128,
    "bool": pa.types.is_boolean,
    "date": pa.types.is_date32,
    "timestamp": lambda found: found == pa.timestamp("us", "UTC"),
    "binary": pa.types.is_binary,
    "json": pa.types.is_string,
}


def _defaults_left_out(ready: pa.Table) -> pa.Table:
    defaults = {VERSION: 1, SOURCE: 0, CHANGES: 0}
    constant = [n for n, value in defaults.items() if pc.all(pc.equal(ready[n], value)).as_py()]
    empty = [n for n in ready.column_names if n not in defaults and ready[n].null_count == ready.num_rows]
    return ready.drop_columns(constant + empty)


def _texts_last(ready: pa.Table) -> pa.Table:
    """In the order that makes the fewest parts of a row: what is there in every row, texts, what may be null."""
    return ready.select(sorted(ready.column_names, key=lambda name: _place(ready[name])))


def _place(column: pa.ChunkedArray) -> int:
    return 1 if binary.is_text(column.type) else 2 if column.null_count else 0
