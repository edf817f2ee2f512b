"""The review store: one schema for each run, one table for each table of its task, rows typed as declared.

A row carries its identity `_id`, its `_version` (1, or the epoch of its last change + 1), and where it comes from:
`_source` indexes the table's sources (-1: derived) and the bits of `_changes` the table's list of (column, rule);
both lists stand in metal.outbox_tables. The run is the schema. A snapshot's tables have no index until it is
prepared, because an index costs a third of the speed of COPY, and no NOT NULL; a continuous run edits rows from the
beginning, so its tables have a primary key. It must not know: Kafka, and how rows come in (connectors/review) or go
out (export).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import orjson
import psycopg
from psycopg import sql

from schemas.columns import ColumnType, postgres_type
from schemas.errors import Fatal, NotFound

Connection = psycopg.Connection[Any]

IDENTITY = "_id"
VERSION = "_version"
SOURCE = "_source"
CHANGES = "_changes"
OWN_COLUMNS = (IDENTITY, VERSION, SOURCE, CHANGES)
DERIVED = -1

_LONGEST_NAME = 63  # bytes of a name in PostgreSQL
MOST_CHANGES = 64


@dataclass(frozen=True)
class TablePlan:
    """One table: its columns in order, what the bits of `_changes` mean and what `_source` indexes."""

    columns: dict[str, ColumnType]
    changes: list[tuple[str, str]]
    sources: list[str]

    @property
    def change_bits(self) -> int:
        """The width of `_changes`: COPY pays for every byte of a row."""
        return next(bits for bits in (16, 32, 64) if len(self.changes) < bits or bits == MOST_CHANGES)


def schema_of(run: str) -> str:
    name = f"outbox_{run}"
    if len(name.encode()) > _LONGEST_NAME:
        raise Fatal(f"the name of run {run} is too long for a schema of the review store")
    return name


def table_of(run: str, table: str) -> sql.Identifier:
    return sql.Identifier(schema_of(run), table)


def create_tables(conn: Connection, run: str, mode: str, plans: dict[str, TablePlan]) -> None:
    """Makes the run's schema and tables and writes down what their columns mean. In the caller's transaction."""
    conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema_of(run))))
    for table, plan in plans.items():
        if len(plan.changes) > MOST_CHANGES:
            raise Fatal(
                f"table {table}: {len(plan.changes)} rules change its columns; {MOST_CHANGES} can be told apart"
            )
        conn.execute(_create(run, table, mode, plan))
        conn.execute(
            "INSERT INTO metal.outbox_tables (run, tab, columns, changes, sources) VALUES (%s, %s, %s, %s, %s)",
            (run, table, *(_json(part) for part in (list(plan.columns.items()), plan.changes, plan.sources))),
        )


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _create(run: str, table: str, mode: str, plan: TablePlan) -> sql.Composed:
    changes = {16: "smallint", 32: "integer", 64: "bigint"}[plan.change_bits]
    key = " PRIMARY KEY" if mode == "continuous" else ""  # for one NOT NULL, COPY looks at every column of every row
    own = (
        sql.SQL("{} bigint" + key).format(sql.Identifier(IDENTITY)),
        sql.SQL("{} integer DEFAULT 1").format(sql.Identifier(VERSION)),
        sql.SQL("{} smallint DEFAULT 0").format(sql.Identifier(SOURCE)),
        sql.SQL("{} " + changes + " DEFAULT 0").format(sql.Identifier(CHANGES)),
    )
    declared = (
        sql.SQL("{} " + postgres_type(kind)).format(sql.Identifier(name)) for name, kind in plan.columns.items()
    )
    # Rows that were only added need no vacuum: it would read and write them all again while the run needs the machine.
    # A continuous run replaces rows, too: for those it is vacuumed as any table.
    vacuum = "autovacuum_vacuum_insert_threshold = -1" if mode == "continuous" else "autovacuum_enabled = off"
    columns = sql.SQL(", ").join((*own, *declared))
    return sql.SQL("CREATE TABLE {} ({}) WITH (" + vacuum + ")").format(table_of(run, table), columns)


def plans_of(conn: Connection, run: str) -> dict[str, TablePlan]:
    """The plan of every table of a run, by name; empty if the run has none (any more)."""
    rows = conn.execute(
        "SELECT tab, columns, changes, sources FROM metal.outbox_tables WHERE run = %s ORDER BY tab", (run,)
    ).fetchall()
    return {tab: _plan(columns, changes, sources) for tab, columns, changes, sources in rows}


def plan_of(conn: Connection, run: str, table: str) -> TablePlan:
    plans = plans_of(conn, run)
    if table not in plans:
        known = f"it has {', '.join(plans)}" if plans else "it has no tables in the review store"
        raise NotFound(f"run {run} has no table {table}; {known}")
    return plans[table]


def _plan(columns: list[list[str]], changes: list[list[str]], sources: list[str]) -> TablePlan:
    typed = {name: cast(ColumnType, kind) for name, kind in columns}
    return TablePlan(typed, [(column, rule) for column, rule in changes], list(sources))


def index_tables(conn: Connection, run: str) -> None:
    """Makes edits of single rows cheap, once a run has stopped adding rows in bulk. May be called again."""
    for table in plans_of(conn, run):
        name = sql.Identifier(f"_{table}{IDENTITY}")  # no table of a task begins with an underscore
        where = table_of(run, table)
        conn.execute(sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} (_id)").format(name, where))
        conn.execute(sql.SQL("ALTER TABLE {} RESET (autovacuum_enabled)").format(where))


def drop_tables(conn: Connection, run: str) -> None:
    """Removes what the review store holds of a run. What is still under way for it is dropped where it stands."""
    conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema_of(run))))
    for table in (sql.Identifier("metal", "outbox_tables"), sql.Identifier("metal", "stored")):
        conn.execute(sql.SQL("DELETE FROM {} WHERE run = %s").format(table), (run,))


def stored(conn: Connection, run: str) -> dict[str, int]:
    """How many rows of each table PostgreSQL has said that it took: no look at the rows, of which there may be many."""
    rows = conn.execute("SELECT tab, sum(rows)::bigint FROM metal.stored WHERE run = %s GROUP BY tab", (run,))
    return dict(rows.fetchall())


def restate(conn: Connection, run: str, table: str, rows: int) -> None:
    """Sets right what is told of a table's rows, which were looked at; what comes is added as before."""
    conn.execute("DELETE FROM metal.stored WHERE run = %s AND tab = %s", (run, table))
    conn.execute("INSERT INTO metal.stored (run, tab, partition, rows) VALUES (%s, %s, 0, %s)", (run, table, rows))


def prepared(conn: Connection, run: str) -> dict[str, int]:
    """How many records of each table stand prepared, as `stored` has it; what it knows nothing of is counted."""
    said = stored(conn, run)
    return {table: said[table] if table in said else count(conn, run, table) for table in plans_of(conn, run)}


def count(conn: Connection, run: str, table: str) -> int:
    """How many records stand prepared: counted here, independent of what the engine says."""
    plan_of(conn, run, table)
    row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(table_of(run, table))).fetchone()
    return int(row[0]) if row else 0
