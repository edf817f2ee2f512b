"""What rows into the review store take: python -m benchmarks.review [ROWS], with the home's stack or METAL_POSTGRES.

One JSON document; of each way rows per second, and the processor time of a row in microseconds: `here`, and in
PostgreSQL's process (where it runs on this machine), which other work on the machine changes less. `transactions` is
what the writer does with a partition's chunks, decoding, watermarks, offsets and provenance included; `copy` is the
COPY in it, in binary form; `copy_csv` and `copy_adbc` are the bare bounds beside it, the same columns as CSV and
through ADBC; `keyed` has the primary key of a continuous run, `upserts` replaces every row of it; `count` is the look
at all rows that the end of a run is spared. Runs in a schema of its own that is dropped at the end.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import polars as pl
import psycopg
from psycopg import sql

from connectors.review import rows
from connectors.review.binary import SLICE
from connectors.review.messages import Chunk, Message
from connectors.review.session import open_session
from connectors.review.store import store_batches
from control_api.store.db import migrate
from control_api.store.outbox import TablePlan, count, create_tables, drop_tables, table_of
from deploy.stack.endpoints import endpoints
from schemas import batch
from schemas.columns import CHANGED, IDENTITY, SOURCE
from schemas.headers import Header

BATCH, CHUNK, ROUNDS = 25_000, 8, 3
AT_ONCE = BATCH * CHUNK  # rows of one transaction
TOPIC, TASK = "metal.benchmark", "benchmark"
PLAN = TablePlan(
    {
        "id": "int64",
        "name": "string",
        "email": "string",
        "age": "int64",
        "salary": "float64",
        "city": "string",
        "note": "string",
    },
    [("email", "normalize"), ("age", "range"), ("city", "empty")],
    ["crm", "erp"],
)


def prepared(total: int) -> pl.DataFrame:
    """What the contract's people task prepares: names removed, e-mail addresses tokens, ages decades."""
    i = pl.int_range(total, eager=True)
    return pl.select(
        i.alias(IDENTITY),
        (i % 2).cast(pl.UInt16).alias(SOURCE),
        (i % 5).cast(pl.UInt64).alias(CHANGED),
        i.alias("id"),
        pl.lit(None, dtype=pl.String).alias("name"),
        (i.hash().cast(pl.String) + "abcd").alias("email"),
        (i % 9 * 10).alias("age"),
        (i % 50_000 * 1.1).alias("salary"),
        pl.Series(["Berlin", "Paris", "unknown", "Amsterdam"]).gather(i % 4).alias("city"),
        pl.Series(["a short note", "a note that is somewhat longer than that"]).gather(i % 2).alias("note"),
    )


def messages(run: str, frame: pl.DataFrame, append: bool) -> list[Message]:
    extra = {"append": True} if append else {}
    made = []
    for n, part in enumerate(frame.iter_slices(BATCH)):
        header = Header("data", TASK, run, "person", "merge/0", 0, n, 0, part.height, extra)
        made.append(Message(n, batch.encode(part), header, 0.0))
    return made


class Bench:
    def __init__(self, url: str, total: int) -> None:
        migrate(url)
        self._conn = open_session(url)
        self._url = url
        self._frame = prepared(total)
        self._tables = [batch.table_of(batch.encode(part)) for part in self._frame.iter_slices(AT_ONCE)]
        self._run = f"benchmark-{os.getpid()}"
        self._total = total

    def fresh(self, mode: str) -> None:
        with self._conn.transaction():
            self.clean()
            self._conn.execute(
                "INSERT INTO metal.tasks (name, version, spec, text, base, created_by)"
                " VALUES (%s, 1, '{}', '', '/', '')",
                (TASK,),
            )
            self._conn.execute(
                "INSERT INTO metal.runs (run, task, version, mode, state, code_version, fingerprint, created_by)"
                " VALUES (%s, %s, 1, %s, 'running', '', '', '')",
                (self._run, TASK, mode),
            )
            create_tables(self._conn, self._run, mode, {"person": PLAN})
            self.rewind()

    def fresh_rows(self) -> None:
        self.fresh("snapshot")
        self.copy()

    def rewind(self) -> None:
        self._conn.execute("DELETE FROM metal.watermarks WHERE run = %s", (self._run,))
        self._conn.execute("DELETE FROM metal.consumed WHERE topic = %s", (TOPIC,))
        self._conn.execute("INSERT INTO metal.consumed VALUES (%s, 0, 0)", (TOPIC,))

    def clean(self) -> None:
        drop_tables(self._conn, self._run)
        self._conn.execute("DELETE FROM metal.runs WHERE run = %s", (self._run,))
        self._conn.execute("DELETE FROM metal.tasks WHERE name = %s", (TASK,))
        self._conn.execute("DELETE FROM metal.consumed WHERE topic = %s", (TOPIC,))

    def timed(self, work: Callable[[], None], prepare: Callable[[], None]) -> dict[str, Any]:
        took = []
        for _ in range(ROUNDS):
            prepare()
            self._conn.execute("CHECKPOINT")
            before = self.spent()
            work()
            took.append([after - start for start, after in zip(before, self.spent(), strict=True)])
            stored = count(self._conn, self._run, "person")
            if stored != self._total:
                raise SystemExit(f"{stored} rows are stored instead of {self._total}")
        wall, here, there = map(min, zip(*took, strict=True))
        each = 1e6 / self._total
        return {"rows/s": round(self._total / wall), "here": round(here * each, 3), "postgres": round(there * each, 3)}

    def spent(self) -> tuple[float, float, float]:
        """Seconds on the wall, of this process and of PostgreSQL's; the last is 0 where it isn't of this machine."""
        served = Path(f"/proc/{self._conn.info.backend_pid}")
        ours = (served / "comm").exists() and (served / "comm").read_text().startswith("postgres")
        there = int((served / "schedstat").read_text().split()[0]) / 1e9 if ours else 0.0
        return time.perf_counter(), time.process_time(), there

    def count(self) -> None:
        self._conn.execute("SET max_parallel_workers_per_gather = 0")  # what helps would not be in the figure
        count(self._conn, self._run, "person")
        self._conn.execute("RESET max_parallel_workers_per_gather")

    def chunks(self, append: bool) -> Callable[[], None]:
        sent = messages(self._run, self._frame, append)

        def work() -> None:
            for at in range(0, len(sent), CHUNK):
                store_batches(self._conn, Chunk((TOPIC, 0), at, sent[at : at + CHUNK]), bytes(32))

        return work

    def copy(self) -> None:
        for part in self._tables:
            with self._conn.transaction():
                rows.append(self._conn, self._run, "person", PLAN, part, 1)

    def bare(self) -> pl.DataFrame:
        return self._frame.select(
            pl.col(IDENTITY),
            pl.col(SOURCE).cast(pl.Int16).alias("_source"),
            pl.col(CHANGED).cast(pl.Int16).alias("_changes"),
            *(name for name in PLAN.columns if name != "name"),
        )

    def copy_csv(self) -> None:
        frame = self.bare()
        names = sql.SQL(", ").join(map(sql.Identifier, frame.columns))
        into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(table_of(self._run, "person"), names)
        for part in frame.iter_slices(AT_ONCE):
            with self._conn.transaction(), self._conn.cursor() as cursor, cursor.copy(into) as copy:
                for slice_ in part.iter_slices(SLICE):
                    copy.write(slice_.write_csv(include_header=False))

    def copy_adbc(self) -> None:
        table: Any = self.bare().to_arrow(compat_level=pl.CompatLevel.oldest())
        with adbc.connect(self._url) as conn:
            for at in range(0, self._total, AT_ONCE):
                with conn.cursor() as cursor:
                    part = table.slice(at, AT_ONCE)
                    cursor.adbc_ingest("person", part, mode="append", db_schema_name=f"outbox_{self._run}")
                conn.commit()

    def measure(self) -> dict[str, Any]:
        def snapshot() -> None:
            self.fresh("snapshot")

        def keyed() -> None:
            self.fresh("continuous")

        try:
            return {
                "rows": self._total,
                "transactions": self.timed(self.chunks(True), snapshot),
                "copy": self.timed(self.copy, snapshot),
                "count": self.timed(self.count, self.fresh_rows),
                "copy_csv": self.timed(self.copy_csv, snapshot),
                "copy_adbc": self.timed(self.copy_adbc, snapshot),
                "keyed": self.timed(self.chunks(True), keyed),
                "upserts": self.timed(self.chunks(False), self.rewind),
            }
        finally:
            self.clean()


def main() -> None:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    try:
        print(json.dumps(Bench(endpoints().postgres.url, total).measure(), indent=1))
    except psycopg.errors.InsufficientPrivilege as error:
        raise SystemExit(f"the benchmark needs a user that may CHECKPOINT: {error.diag.message_primary}") from error


if __name__ == "__main__":
    main()
