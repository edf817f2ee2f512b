"""Rows that PostgreSQL refuses, found and set aside as dead letters: one bad value never takes other rows with it.

The engine rejects such values earlier (a text with U+0000, say), so this is the last net. Reasons name the column and
the kind of error, never the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import reduce
from hashlib import blake2b
from typing import Any

import orjson
import polars as pl
import polars.selectors as cs
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import errors

from control_api.store.keys import get_key
from schemas import batch
from schemas.columns import IDENTITY
from schemas.headers import Header
from schemas.sealing import seal

Connection = psycopg.Connection[Any]
Refused = tuple[pl.DataFrame, str, str | None]  # rows, reason, column

STAGE = "review"
_COLUMN = re.compile(r", column (\w+)")
_CALENDAR = 95_000_000  # days before and after 1970 for which polars has a year, a month and a day
_DAY = 86_400_000_000  # microseconds


def isolate(conn: Connection, table: pa.Table, store: Callable[[pa.Table], int]) -> tuple[int, list[Refused]]:
    """Stores every row that can be stored; returns by how many the store says it has more, and the others."""
    if not table.num_rows:
        return 0, []
    try:
        with conn.transaction():
            return store(table), []
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        refusal = error
    poisoned = _with_nul(table)
    if poisoned is not None:
        reason = "the text holds U+0000, which PostgreSQL cannot store"
        taken, rest = isolate(conn, table.filter(pc.invert(poisoned)), store)
        return taken, [(batch.frame_of(table.filter(poisoned)), reason, None), *rest]
    if table.num_rows == 1:
        return 0, [(batch.frame_of(table), *_reason(refusal))]
    half = table.num_rows // 2
    (one, some), (other, rest) = isolate(conn, table[:half], store), isolate(conn, table[half:], store)
    return one + other, some + rest


def _with_nul(table: pa.Table) -> pa.ChunkedArray | None:
    """Which rows have a text with U+0000, if any has."""
    texts = [column for column in table.columns if pa.types.is_string(column.type)]
    found = [pc.fill_null(pc.match_substring(text, "\0"), False) for text in texts]
    poisoned = reduce(pc.or_, found) if found else None
    return poisoned if poisoned is not None and pc.any(poisoned).as_py() else None


def _reason(error: psycopg.Error) -> tuple[str, str | None]:
    context = error.diag.context or ""
    found = _COLUMN.search(context.split("\n")[0])
    column = error.diag.column_name or (found.group(1) if found else None)
    if isinstance(error, errors.UniqueViolation):
        return "another record of the table has the same identity", None
    return f"the review store cannot hold the value ({type(error).__name__}, {error.sqlstate})", column


def write_letters(conn: Connection, master: bytes, header: Header, refused: list[Refused]) -> int:
    """Makes dead letters of refused rows and counts them, in the transaction of the rows that were stored."""
    key = get_key(conn, master, header.run)
    letters: list[tuple[object, ...]] = []
    for frame, reason, column in refused:
        for row in _plain(frame).to_dicts():
            about = f"{header.run}/{header.table}/{header.producer}/{header.sequence}/{row[IDENTITY]}"
            name = blake2b(about.encode(), digest_size=16).hexdigest()
            sealed = seal(key, orjson.dumps(row), name)
            position = orjson.dumps({"source": None, "split": header.producer, "line": row[IDENTITY]}).decode()
            letters.append((name, header.run, header.table, STAGE, "stored", column, reason, position, sealed))
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metal.dead_letters (id, run, tab, stage, rule, col, reason, position, sealed) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            letters,
        )
    conn.execute(_COUNT, {"run": header.run, "producer": STAGE, "table": header.table, "n": len(letters)})
    return len(letters)


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """As texts what JSON has no form for, and dates that Python has none for."""
    moments = [_moment(name, dtype) for name, dtype in frame.schema.items() if dtype in (pl.Date, pl.Datetime)]
    return frame.with_columns(*moments, cs.decimal().cast(pl.String), cs.binary().bin.encode("base64"))


def _moment(name: str, dtype: pl.DataType) -> pl.Expr:
    """A moment's text, or how far away it is where polars' calendar does not reach."""
    unit, day = ("days", 1) if dtype == pl.Date else ("microseconds", _DAY)
    count = pl.col(name).to_physical()
    near = pl.when(count.is_between(-_CALENDAR * day, _CALENDAR * day)).then(pl.col(name)).cast(pl.String)
    return pl.coalesce(near, pl.format("1970-01-01 and {} " + unit, count)).alias(name)


_COUNT = """
INSERT INTO metal.counts AS c (run, producer, tab, counts)
VALUES (%(run)s, %(producer)s, %(table)s, jsonb_build_object('rejected', %(n)s::bigint))
ON CONFLICT (run, producer, tab) DO UPDATE SET counts =
    jsonb_build_object('rejected', (c.counts->>'rejected')::bigint + (EXCLUDED.counts->>'rejected')::bigint)
"""
