"""The bound: the people task's work by polars in one process, with ADBC COPY and without Kafka.

`python -m benchmarks.bound csv FOLDER` or `… topic CRM ERP` prints its seconds and rows. Reading, rules and merge are
written for this one task in plain polars; names, tokens, steps and noise are those of the product, because
the rows must be the same. It keeps no state, seals nothing, counts nothing and can lose everything.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import polars as pl
import psycopg
from adbc_driver_postgresql import dbapi
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from psycopg import sql

from benchmarks.data import CONTRACT, SOURCES
from control_api.actions.run_tables import compiled
from control_api.composition import components
from deploy.stack import Endpoints, endpoints
from schemas.columns import IDENTITY, polars_type, postgres_type
from schemas.task.load import load

SCHEMA: Final = "metal_bench"
TABLE: Final = "person"
KEY: Final = bytes(range(32))
AT_ONCE: Final = 100_000  # messages

TASK: Final = load(CONTRACT, components()).task
PERSON: Final = TASK.tables["person"]
READ: Final = {name: polars_type(column.type) for name, column in PERSON.columns.items()}


def rules(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The contract's rules, for people alone."""
    city = pl.col("city")
    return frame.filter(pl.col("salary").is_null() | (pl.col("salary") >= 10)).with_columns(
        pl.col("email").str.strip_chars().str.to_lowercase(),
        pl.col("age").clip(0, 100),
        pl.when(city.is_null() | (city.str.strip_chars() == "")).then(pl.lit("unknown")).otherwise(city).alias("city"),
    )


def merged(sources: list[pl.DataFrame]) -> pl.DataFrame:
    """Each person once, from the source that stands first."""
    return pl.concat(sources).unique("id", keep="first", maintain_order=True)


def anonymized(frame: pl.DataFrame) -> pl.DataFrame:
    output = compiled(TASK).outputs()["person"]
    with_ids = frame.with_columns(pl.int_range(pl.len()).alias(IDENTITY))
    return output.methods.apply(with_ids, KEY, window=False).select(output.output)


def from_csv(folder: Path) -> list[pl.DataFrame]:
    return [pl.read_csv(folder / f"{name}.csv", schema=READ).lazy().pipe(rules).collect() for name in SOURCES]


def from_topics(settings: dict[str, Any], topics: list[str]) -> list[pl.DataFrame]:
    return [pl.concat([_decoded(part) for part in _messages(settings, topic)]) for topic in topics]


def _decoded(values: list[bytes]) -> pl.DataFrame:
    return pl.read_ndjson(b"\n".join(values), schema=READ).lazy().pipe(rules).collect()


def _messages(settings: dict[str, Any], topic: str) -> Iterator[list[bytes]]:
    consumer = Consumer(
        {
            **settings,
            "group.id": "bench",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "queued.min.messages": 1_000_000,
            "fetch.message.max.bytes": 8 << 20,
        }
    )
    try:
        partitions = list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        left, values = len(partitions), list[bytes]()
        while left:
            told = consumer.consume(AT_ONCE // 4, timeout=0.05)
            left -= sum(map(_ended, told))
            values += [value for message in told if message.error() is None and (value := message.value())]
            if len(values) >= AT_ONCE or (not left and values):
                yield values
                values = []
    finally:
        consumer.close()


def _ended(message: Message) -> bool:
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise RuntimeError(str(error))
    return error is not None


def create(ends: Endpoints) -> None:
    output = compiled(TASK).outputs()["person"]
    typed = sql.SQL(", ").join(
        sql.SQL("{} " + postgres_type(output.methods.output_columns[name])).format(sql.Identifier(name))
        for name in output.output
    )
    with psycopg.connect(ends.postgres.url) as conn:
        conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, TABLE)))
        conn.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(SCHEMA, TABLE), typed))


def drop(ends: Endpoints) -> int:
    """Removes what was copied; answers how many rows it was."""
    with psycopg.connect(ends.postgres.url) as conn:
        where = sql.Identifier(SCHEMA, TABLE)
        row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(where)).fetchone()
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(SCHEMA)))
    return int(row[0]) if row else 0


def copy(ends: Endpoints, frame: pl.DataFrame) -> None:
    with dbapi.connect(ends.postgres.url) as conn, conn.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")  # as the review store writes rows
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        cursor.adbc_ingest(TABLE, table, mode="append", db_schema_name=SCHEMA)
        conn.commit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["csv", "topic"])
    parser.add_argument("where", nargs="+")
    given = parser.parse_args()
    ends = endpoints()
    create(ends)
    marks = [time.perf_counter()]
    if given.kind == "csv":
        sources = from_csv(Path(given.where[0]))
    else:
        sources = from_topics(ends.kafka.confluent(), given.where)
    marks.append(time.perf_counter())
    people = anonymized(merged(sources))
    marks.append(time.perf_counter())
    copy(ends, people)
    marks.append(time.perf_counter())
    read, prepared, copied = (round(after - before, 3) for before, after in pairwise(marks))
    told = {
        "seconds": marks[-1] - marks[0],
        "parts": {"read_and_rules": read, "merge_and_anonymize": prepared, "copy": copied},
        "rows": drop(ends),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
