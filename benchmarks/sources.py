"""How fast sources are read and typed on one core: `python -m benchmarks.sources [RECORDS]` prints JSON.

Records are those of the contract's people task, 127 bytes each as CSV. `cpu` counts the seconds of all threads of
this process; for kafka, give METAL_KAFKA or have a stack running.
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"  # before polars is loaded: the figures are for one core

import csv
import io
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.sources.contract import Context, Source
from connectors.sources.csv import Csv
from connectors.sources.jsonl import Jsonl
from connectors.sources.kafka import Kafka
from connectors.sources.parquet import Parquet
from deploy.stack import endpoints
from schemas.errors import MetalError
from schemas.task.model import Column

TYPES = {"id": "int64", "name": "string", "email": "string", "age": "int64", "salary": "float64", "city": "string"}
COLUMNS = {name: Column.model_validate({"type": kind}) for name, kind in {**TYPES, "note": "string"}.items()}
TOPIC = "metal.benchmark.sources"
RUNS = 3


def people(count: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(1)
    for number in range(count):
        yield {
            "id": number,
            "name": f"Name{chance.randrange(10**6)} Surname{chance.randrange(10**6)}",
            "email": f"user{number}@example.com",
            "age": chance.randrange(100),
            "salary": round(chance.random() * 1e5, 2),
            "city": f"City{chance.randrange(1000)}",
            "note": f"some note text that is fairly long {chance.randrange(10**9)} abcde",
        }


def write(folder: Path, count: int) -> None:
    rows = list(people(count))
    pl.DataFrame(rows).write_parquet(folder / "x.parquet")
    (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, quoting in (("x", csv.QUOTE_MINIMAL), ("quoted", csv.QUOTE_ALL)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(COLUMNS), quoting=quoting, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    chance = random.Random(2)
    lines = (folder / "x.csv").read_text().splitlines(keepends=True)
    broken = [line.replace(",", ",x", 3) if chance.random() < 0.01 else line for line in lines[1:]]
    (folder / "rejects.csv").write_text(lines[0] + "".join(broken))
    lines = (folder / "x.jsonl").read_text().splitlines(keepends=True)
    broken = [line.replace('"age": ', '"age": "x') if chance.random() < 0.001 else line for line in lines]
    (folder / "rejects.jsonl").write_text("".join(broken))


def measure(start: Callable[[], Source]) -> dict[str, Any]:
    rates: dict[str, list[float]] = {"cpu": [], "wall": []}
    read = rejected = 0
    for _ in range(RUNS):
        cpu, wall = time.process_time(), time.perf_counter()
        source = start()
        chunks = [(chunk.read, chunk.rejects.height) for split in source.splits() for chunk in source.read(split, None)]
        source.close()
        read, rejected = sum(one for one, _ in chunks), sum(one for _, one in chunks)
        rates["cpu"].append(read / (time.process_time() - cpu))
        rates["wall"].append(read / (time.perf_counter() - wall))
    medians = {f"records_per_second_{name}": round(statistics.median(told)) for name, told in rates.items()}
    return {"records": read, "rejected": rejected, **medians}


def fill(settings: dict[str, Any], folder: Path) -> None:
    admin = AdminClient(settings)
    if TOPIC in admin.list_topics(timeout=10).topics:
        admin.delete_topics([TOPIC])[TOPIC].result()
        time.sleep(2)
    admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])[TOPIC].result()
    producer = Producer(settings | {"linger.ms": 50, "queue.buffering.max.messages": 100_000, "batch.size": 1 << 20})
    with io.BufferedReader(io.FileIO(folder / "x.jsonl")) as file:
        for line in file:
            while True:
                try:
                    producer.produce(TOPIC, line[:-1])
                    break
                except BufferError:
                    producer.poll(0.1)
    producer.flush()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    figures: dict[str, Any] = {"cores": os.cpu_count(), "command": f"python -m benchmarks.sources {count}"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, count)
        context = Context(base=folder)
        for file in ("x.csv", "quoted.csv", "rejects.csv"):
            figures[file] = measure(lambda file=file: Csv.open(Csv.Config(path=file), COLUMNS, context))  # type: ignore[misc]
        for file in ("x.jsonl", "rejects.jsonl"):
            figures[file] = measure(lambda file=file: Jsonl.open(Jsonl.Config(path=file), COLUMNS, context))  # type: ignore[misc]
        figures["x.parquet"] = measure(lambda: Parquet.open(Parquet.Config(path="x.parquet"), COLUMNS, context))
        try:
            settings = endpoints().kafka.confluent()
        except MetalError as error:
            figures["kafka"] = {"not measured": str(error)}
        else:
            fill(settings, folder)
            with_kafka = Context(base=folder, kafka=settings)
            figures["kafka"] = measure(lambda: Kafka.open(Kafka.Config(topic=TOPIC), COLUMNS, with_kafka))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
