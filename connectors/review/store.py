"""One transaction: rows, watermarks, counts and the partition's next offset, all of it or none.

What always holds: the first statement moves metal.consumed from what the chunk was read under to what follows it. It
locks the row and changes nothing if another writer was here, so a stale writer's work is dropped. A batch whose
sequence its producer's watermark has reached is not stored again; a batch of a run that is over isn't stored at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import psycopg
import pyarrow as pa
from psycopg import errors

from connectors.review import rows
from connectors.review.messages import Chunk, Message, RunFails, Stale
from connectors.review.refused import isolate, write_letters
from connectors.review.session import lock
from control_api.settle import settle
from control_api.store.keys import get_key
from control_api.store.outbox import TablePlan, plans_of
from control_api.store.waivers import waived_tables
from schemas import batch, outbox
from schemas.columns import OP
from schemas.errors import Fatal, NotFound
from schemas.headers import Header

Connection = psycopg.Connection[Any]
Producer = tuple[str, str]  # run and producer
Waived = dict[str, tuple[frozenset[str], bytes]]  # of runs with a waiver: its tables, and the key that seals them


@dataclass
class Group:
    """Batches of one table that one COPY can take."""

    first: Header
    append: bool
    tables: list[pa.Table] = field(default_factory=list)

    def takes(self, header: Header, append: bool) -> bool:
        return self.append == append and self.first.epoch == header.epoch


@dataclass
class Stored:
    """What a transaction did."""

    rows: int = 0
    size: int = 0
    dropped: int = 0
    refused: int = 0


def store_batches(conn: Connection, chunk: Chunk, master: bytes) -> Stored:
    """Stores a chunk of metal.outbox. Raises Stale, RunFails, or what psycopg says of the connection.

    `master` opens the run's key, which seals the rows that PostgreSQL refuses, and those that are not anonymized.
    """
    with conn.transaction():
        _sync_if_final(conn, chunk)
        advance(conn, chunk)
        runs = {m.header.run for m in chunk.messages if m.header}
        waived = _waived(conn, runs, master)  # before it is asked who lives: a run that does has its key still
        live = _live(conn, runs)
        fresh = _fresh(conn, [m for m in chunk.messages if m.header and m.header.run in live])
        done = Stored(size=chunk.size, dropped=len(chunk.messages) - len(fresh))
        taken: Counter[tuple[str, str]] = Counter()  # by run and table
        for group in _groups(fresh, waived):
            done.rows += sum(table.num_rows for table in group.tables)
            more, refused = _store_group(conn, group, master)
            taken[group.first.run, group.first.table] += more
            done.refused += refused
        _mark(conn, fresh)
        with conn.cursor() as cursor:  # after all rows: who drops tables takes these locks in the same order
            cursor.executemany(_TAKEN, [(*of, chunk.place[1], more) for of, more in taken.items()])
        with_rows = sorted({m.header.run for m in fresh if m.header and m.header.rows and live[m.header.run]})
        if with_rows:
            conn.execute(_FIRST_ROW, (with_rows,))
        for run in sorted({m.header.run for m in fresh if m.header and _is_final(m.header)}):
            settle(conn, run)
    return done


def advance(conn: Connection, chunk: Chunk) -> None:
    lock(conn, chunk.place)
    moved = conn.execute(
        "UPDATE metal.consumed SET next_offset = %s WHERE topic = %s AND partition = %s AND next_offset = %s",
        (chunk.following, *chunk.place, chunk.known),
    )
    if moved.rowcount != 1:  # invariant 2: only the writer that saw the latest offset may add to it
        raise Stale(f"partition {chunk.place} has moved on from offset {chunk.known}")


def _is_final(header: Header) -> bool:
    return header.kind == "end" and bool(header.extra.get("final"))


def _sync_if_final(conn: Connection, chunk: Chunk) -> None:
    """Rows alone may be lost with the database: their offset is lost with them. What ends a run may not."""
    if any(m.header and _is_final(m.header) for m in chunk.messages):
        conn.execute("SET LOCAL synchronous_commit = on")


def _live(conn: Connection, runs: set[str]) -> dict[str, bool]:
    """The runs that still take rows, and whether they have none yet."""
    found = conn.execute(
        "SELECT run, first_row_at IS NULL FROM metal.runs "
        "WHERE run = ANY(%s) AND ended_at IS NULL AND state IN ('running', 'paused', 'prepared')",
        (sorted(runs),),
    )
    return dict(found.fetchall())


_FIRST_ROW = "UPDATE metal.runs SET first_row_at = clock_timestamp() WHERE run = ANY(%s) AND first_row_at IS NULL"


def _fresh(conn: Connection, messages: list[Message]) -> list[Message]:
    """Invariant 2: what a producer sends again, under a sequence that is stored, is not stored again."""
    runs = sorted({m.header.run for m in messages if m.header})
    marks: dict[Producer, int] = {
        (run, producer): sequence
        for run, producer, sequence in conn.execute(
            "SELECT run, producer, sequence FROM metal.watermarks WHERE run = ANY(%s)", (runs,)
        )
    }
    fresh = []
    for message in messages:
        header = message.header
        if header and header.sequence > marks.get((header.run, header.producer), -1):
            marks[header.run, header.producer] = header.sequence
            fresh.append(message)
    return fresh


def _waived(conn: Connection, runs: set[str], master: bytes) -> Waived:
    found: Waived = {}
    for run, tables in waived_tables(conn, runs).items():
        with suppress(NotFound):  # it has ended: what comes of it is dropped unread
            found[run] = (tables, get_key(conn, master, run))
    return found


def _groups(messages: list[Message], waived: Waived) -> list[Group]:
    """Joins the batches of each table, in order; tables don't depend on one another."""
    tables: dict[tuple[str, str], list[Group]] = defaultdict(list)
    for message in messages:
        header = message.header
        if header is None or header.kind != "data" or not header.rows:
            continue
        table = _decoded(message, header, waived)
        append = bool(header.extra.get("append")) and OP not in table.column_names
        if not append and OP not in table.column_names:
            table = table.append_column(OP, pa.repeat(pa.scalar(0, pa.int8()), table.num_rows))
        groups = tables[header.run, header.table]
        if not groups or not groups[-1].takes(header, append):
            groups.append(Group(header, append))
        groups[-1].tables.append(table)
    return [group for groups in tables.values() for group in groups]


def _decoded(message: Message, header: Header, waived: Waived) -> pa.Table:
    tables, key = waived.get(header.run, (frozenset(), b""))
    try:
        if header.table in tables:
            return outbox.unseal(message.value, key, header.table)
        return batch.table_of(message.value)
    except Fatal as error:
        raise RunFails(header.run, f"table {header.table}: {error} (metal.outbox, {header.producer})") from error


def _store_group(conn: Connection, group: Group, master: bytes) -> tuple[int, int]:
    """By how many rows the table has grown, as PostgreSQL says, and how many it refused."""
    header = group.first
    plan = plans_of(conn, header.run).get(header.table)
    if plan is None:
        raise RunFails(header.run, f"a batch came for table {header.table}, which the review store does not know")
    try:
        taken, refused = isolate(conn, _joined(group), partial(_write, conn, header, plan, group.append))
    except Fatal as error:
        raise RunFails(header.run, f"table {header.table}: {error}") from error
    except (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn) as error:
        raise RunFails(header.run, f"the review store has lost table {header.table} or a column of it") from error
    return taken, write_letters(conn, master, header, refused) if refused else 0


def _joined(group: Group) -> pa.Table:
    try:
        return pa.concat_tables(group.tables)
    except pa.ArrowException as error:
        raise Fatal("its batches do not all have the same columns") from error


def _write(conn: Connection, header: Header, plan: TablePlan, append: bool, table: pa.Table) -> int:
    store = rows.append if append else rows.change
    return store(conn, header.run, header.table, plan, table, header.epoch + 1)


def _mark(conn: Connection, messages: list[Message]) -> None:
    last: dict[Producer, Header] = {}
    for header in (m.header for m in messages if m.header):
        last[header.run, header.producer] = header
        if header.kind == "end":
            _close(conn, header)
    with conn.cursor() as cursor:
        cursor.executemany(_REACHED, [(h.run, h.producer, h.sequence) for h in last.values()])


def _close(conn: Connection, header: Header) -> None:
    """A producer has ended an epoch: its counts stand, and we know whom else the run waits for."""
    waited = [header.producer, *header.extra.get("producers", [])]
    with conn.cursor() as cursor:
        cursor.executemany(_AWAITED, [(header.run, name) for name in sorted(set(waited))])
        cursor.execute(_CLOSED, (header.epoch, _is_final(header), header.run, header.producer))
        counts = header.extra.get("counts", {})
        cursor.executemany(
            _COUNTED, [(header.run, header.producer, table, orjson.dumps(n).decode()) for table, n in counts.items()]
        )


_TAKEN = """
INSERT INTO metal.stored AS s (run, tab, partition, rows) VALUES (%s, %s, %s, %s)
ON CONFLICT (run, tab, partition) DO UPDATE SET rows = s.rows + EXCLUDED.rows
"""
_REACHED = """
INSERT INTO metal.watermarks (run, producer, sequence) VALUES (%s, %s, %s)
ON CONFLICT (run, producer) DO UPDATE SET sequence = EXCLUDED.sequence
"""
_AWAITED = "INSERT INTO metal.watermarks (run, producer, sequence) VALUES (%s, %s, -1) ON CONFLICT DO NOTHING"
_CLOSED = "UPDATE metal.watermarks SET closed = %s, final = %s WHERE run = %s AND producer = %s"
_COUNTED = """
INSERT INTO metal.counts (run, producer, tab, counts) VALUES (%s, %s, %s, %s)
ON CONFLICT (run, producer, tab) DO UPDATE SET counts = EXCLUDED.counts
"""
