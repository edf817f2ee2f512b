"""Rows into PostgreSQL by COPY, in the caller's transaction.

A column whose value is the table's default in every row (a removed name, a record no rule changed) isn't sent at all:
each column costs some ten percent of COPY. The others go in PostgreSQL's binary form (connectors/review/binary.py),
which knows no types of its own: a column is brought to the polars type of its declared type here, or not at all.
Measured against CSV and against ADBC in benchmarks/review.py.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from connectors.failpoints import hit
from connectors.review import binary
from control_api.store.outbox import CHANGES, IDENTITY, SOURCE, VERSION, TablePlan, table_of
from schemas import columns
from schemas.errors import Fatal

Connection = psycopg.Connection[Any]

STAGE = sql.SQL("CREATE TEMP TABLE IF NOT EXISTS metal_changed (_id bigint) ON COMMIT DELETE ROWS")


def append(conn: Connection, run: str, table: str, plan: TablePlan, frame: pl.DataFrame, version: int) -> None:
    """Adds rows none of which can be there already."""
    if not frame.height:
        return
    ready = _defaults_left_out(_stored(frame, plan, version))
    names = sql.SQL(", ").join(map(sql.Identifier, ready.columns))
    _copy(conn, sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table_of(run, table), names), ready)
    hit("review.after_copy")


def change(conn: Connection, run: str, table: str, plan: TablePlan, frame: pl.DataFrame, version: int) -> None:
    """Applies upserts and deletions in their order: of several of one identity the last one counts."""
    last = frame.unique(columns.IDENTITY, keep="last", maintain_order=True)
    changed = last.select(pl.col(columns.IDENTITY).cast(pl.Int64))
    _copy(conn, sql.SQL("COPY metal_changed FROM STDIN (FORMAT binary)"), changed)
    there = sql.SQL("DELETE FROM {} AS t USING metal_changed AS c WHERE t._id = c._id")
    conn.execute(there.format(table_of(run, table)))
    conn.execute("TRUNCATE metal_changed")
    kept = last.filter(pl.col(columns.OP) == 0)
    if kept.height:
        append(conn, run, table, plan, kept, version)


def _copy(conn: Connection, statement: sql.SQL | sql.Composed, frame: pl.DataFrame) -> None:
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in binary.stream(frame):
            copy.write(piece)


def _stored(frame: pl.DataFrame, plan: TablePlan, version: int) -> pl.DataFrame:
    """The batch's columns under the names and types of the review store."""
    missing = [name for name in plan.columns if name not in frame.columns]
    if missing:
        raise Fatal(f"a batch lacks the columns {', '.join(missing)}, which the review store holds")
    width = {16: pl.Int16, 32: pl.Int32, 64: pl.Int64}[plan.change_bits]
    own = [
        pl.col(columns.IDENTITY).cast(pl.Int64).alias(IDENTITY),
        pl.lit(version, dtype=pl.Int32).alias(VERSION),
        pl.col(columns.SOURCE).cast(pl.UInt16).reinterpret(signed=True).alias(SOURCE),
        pl.col(columns.CHANGED).cast(pl.UInt64).reinterpret(signed=True).cast(width).alias(CHANGES),
    ]
    return frame.select(*own, *(_typed(frame.schema[name], name, kind) for name, kind in plan.columns.items()))


def _typed(dtype: pl.DataType, name: str, kind: columns.ColumnType) -> pl.Expr:
    expected = columns.polars_type(kind)
    column = pl.col(name)
    if dtype == pl.Null:
        return column.cast(expected)
    if dtype.is_integer() and kind == "int64":
        return column.cast(pl.Int64)
    if dtype != expected and not (dtype.is_decimal() and kind == "decimal"):
        raise Fatal(f"a batch brings column {name} as {dtype}; the review store holds it as {kind}")
    return column


def _defaults_left_out(frame: pl.DataFrame) -> pl.DataFrame:
    defaults = {VERSION: 1, SOURCE: 0, CHANGES: 0}
    constant = [n for n, value in defaults.items() if (frame[n] == value).all()]
    empty = [n for n in frame.columns if n not in defaults and frame[n].null_count() == frame.height]
    return frame.drop(constant + empty)
