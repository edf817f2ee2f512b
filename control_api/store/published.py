"""What is to be published of a prepared table, as a release keeps it: rows that differ, counted by the database.

Reads at one moment, which others can read at too (`moment`), so that what is checked is what is exported. Values are
compared by the texts that the database has for them. Memory follows the rows that differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from control_api.store.db import retriable
from control_api.store.outbox import table_of
from control_api.store.outbox_export import read
from processors.privacy.groups.anatomy import COUNT as OF_VALUE
from processors.privacy.guarantees.requested import GROUP
from processors.privacy.releases.versions import COUNT, IDENTITY, REST, VALUES, WHO


@dataclass(frozen=True)
class Wanted:
    """Which columns are kept as they are, and which only as hashes; of `apart`, the table beside and its column."""

    plain: Sequence[str]
    identity: Sequence[str] = ()
    who: str | None = None
    rest: Sequence[str] = ()
    apart: tuple[str, str] | None = None


@contextmanager
def moment(url: str) -> Iterator[str]:
    """A snapshot of the database by its name; whoever takes it up while this is open sees the same rows for good."""
    with retriable(), psycopg.connect(url, connect_timeout=10) as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = conn.execute("SELECT pg_export_snapshot()").fetchone()
        yield str(row[0]) if row else ""


def published(url: str, at: str, run: str, table: str, wanted: Wanted) -> pl.DataFrame:
    """The rows that differ."""
    where = table_of(run, table)
    chosen = [sql.SQL("{0}::text AS {0}").format(sql.Identifier(name)) for name in wanted.plain]
    hashes = ((IDENTITY, wanted.identity), (WHO, [wanted.who] if wanted.who else []), (REST, wanted.rest))
    chosen += [sql.SQL("{} AS {}").format(_hash(names), sql.Identifier(name)) for name, names in hashes if names]
    source = sql.SQL("{} AS t").format(where)
    if wanted.apart:
        chosen.append(sql.SQL("{} AS {}").format(_sha(sql.SQL("v.has")), sql.Identifier(VALUES)))
        source += sql.SQL(" LEFT JOIN ({}) AS v USING ({})").format(_values(run, *wanted.apart), sql.Identifier(GROUP))
    groups = sql.SQL(", ").join(sql.SQL(str(place)) for place in range(1, len(chosen) + 1))
    query = sql.SQL("SELECT {}, count(*) AS {} FROM {} GROUP BY {}").format(
        sql.SQL(", ").join(chosen), sql.Identifier(COUNT), source, groups
    )
    kinds: dict[str, pl.DataType] = dict.fromkeys(wanted.plain, pl.Categorical())
    kinds |= dict.fromkeys([name for name, names in hashes if names] + [VALUES] * bool(wanted.apart), pl.Int64())
    empty = pl.DataFrame(schema={**kinds, COUNT: pl.Int64()})
    pieces = read(url, query.as_string(), at)
    return pl.concat([empty, *(piece.cast(empty.schema) for piece in pieces)])  # texts by their codes


def unique(url: str, at: str, run: str, table: str, columns: Sequence[str]) -> bool:
    """Whether these columns tell each row from all others."""
    every = sql.SQL("SELECT count(*) = count(DISTINCT ({})) AND bool_and({}) FROM {} AS t").format(
        _hash(columns),
        sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(name)) for name in columns),
        table_of(run, table),
    )
    return bool(_one(url, at, every))


def rows_of_one(url: str, at: str, run: str, table: str, regions: Sequence[str], subject: str) -> tuple[int, bool]:
    """How many rows of one subject a region has at most, and whether subjects are told at all."""
    names = sql.SQL(", ").join(map(sql.Identifier, [*regions, subject]))
    most = sql.SQL("SELECT max(n) FROM (SELECT count(*) AS n FROM {} WHERE {} IS NOT NULL GROUP BY {}) AS each").format(
        table_of(run, table), sql.Identifier(subject), names
    )
    found = _one(url, at, most)
    return (1, False) if found is None else (int(found), True)


def _one(url: str, at: str, query: sql.Composed) -> Any:
    for frame in read(url, query.as_string(), at):
        return frame.item()
    return None


def _values(run: str, beside: str, column: str) -> sql.Composed:
    pair = sql.SQL("ROW({}, {})::text").format(sql.Identifier(column), sql.Identifier(OF_VALUE))
    return sql.SQL("SELECT {0}, string_agg({1}, ',' ORDER BY {1} COLLATE \"C\") AS has FROM {2} GROUP BY {0}").format(
        sql.Identifier(GROUP), pair, table_of(run, beside)
    )


def _hash(columns: Sequence[str]) -> sql.Composed:
    names = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in columns)
    return _sha(sql.SQL("ROW({})::text").format(names))


def _sha(text: sql.Composable) -> sql.Composed:
    return sql.SQL("('x' || left(encode(sha256(convert_to({}, 'UTF8')), 'hex'), 16))::bit(64)::bigint").format(text)
