"""The benchmarks' data and tasks under one folder; what an earlier run of the same size wrote is used again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks import people
from benchmarks.machine import CHECKOUT

CONTRACT: Final = CHECKOUT / "examples" / "people" / "people.task.yaml"
SOURCES: Final = ("crm", "erp")
SEED: Final = 1
TROUBLE: Final = people.Trouble(unreadable=0)  # all that the contract's rules mend; what none can read is no throughput
TYPES: Final = {"id": pl.Int64, "age": pl.Int64}

# The contract's table in continuous mode; no rule drops a record, so every record that is sent is waited for.
LIVE: Final = """
task: {name}
mode: continuous
epoch: {epoch}
tables:
  person:
    columns:
      id:     {{type: int64}}
      name:   {{type: string}}
      email:  {{type: string, normalize: [trim, lower]}}
      age:    {{type: int64, range: {{min: 0, max: 100, outside: clamp}}}}
      salary: {{type: float64}}
      city:   {{type: string, empty: {{replace: unknown}}}}
      note:   {{type: string}}
    primary_key: {{column: id, conflicts: {{prefer: [{prefer}]}}}}
    sources:
      live: {{connector: kafka, topic: {topic}, changes: true}}
{base}
    anonymize:
      - {{method: suppress, columns: [name]}}
      - {{method: tokenize, columns: [email]}}
      - {{method: generalize, columns: {{age: {{step: 10}}}}}}
      - {{method: perturb, columns: {{salary: {{relative: 0.05}}}}}}
"""


def people_task(data: Path, records: int) -> Path:
    """The contract's people task over so many records in two CSV files."""
    folder = data / f"people-{records}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        people.write(folder / "data", records, SEED, TROUBLE)
        (folder / "complete").touch()
    path = folder / "people.task.yaml"
    path.write_text(CONTRACT.read_text())
    return path


def size(task: Path) -> int:
    """Bytes of the task's files."""
    return sum((task.parent / "data" / f"{name}.csv").stat().st_size for name in SOURCES)


def topic_task(data: Path, topics: dict[str, str]) -> Path:
    """The contract's people task over two topics."""
    text = CONTRACT.read_text()
    for source, topic in topics.items():
        text = text.replace(f"{{connector: csv, path: data/{source}.csv}}", f"{{connector: kafka, topic: {topic}}}")
    path = data / "topic.task.yaml"
    path.write_text(text.replace("task: people\n", "task: people_topic\n"))
    return path


def live_task(data: Path, name: str, topic: str, epoch: float, base: Path | None = None) -> Path:
    """A continuous task over a topic and, under it, a file of what is known already."""
    source = f"      base: {{connector: csv, path: {base}}}" if base else ""
    prefer = "live, base" if base else "live"
    path = data / f"{name}.task.yaml"
    path.write_text(LIVE.format(name=name, epoch=epoch, topic=topic, base=source, prefer=prefer))
    return path


def unique_people(first: int, count: int) -> pl.DataFrame:
    """Records with these numbers as ids, each once, typed."""
    numbers = pl.select(pl.int_range(first, first + count, dtype=pl.Int64).alias("id")).with_columns(variant=pl.lit(0))
    return people.records(numbers, SEED, people.NONE).cast(TYPES)  # type: ignore[arg-type]  # types by name


def state_file(data: Path, keys: int) -> Path:
    """A file of so many people with the ids 0, 1, 2, …"""
    folder = data / f"state-{keys}"
    path = folder / "base.csv"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with path.open("wb") as file:
            for start in range(0, keys, people.CHUNK):
                chunk = unique_people(start, min(people.CHUNK, keys - start))
                chunk.write_csv(file, include_header=start == 0)
        (folder / "complete").touch()
    return path


def messages(frame: pl.DataFrame) -> list[str]:
    """One JSON object for each record."""
    return frame.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()


def source_messages(source: int, records: int) -> Iterator[list[str]]:
    """What stands in a CSV file of `people_task`, as messages."""
    for chunk in people.chunks(source, records, SEED, TROUBLE):
        yield messages(chunk.cast(TYPES))  # type: ignore[arg-type]  # types by name


def changed(ids: list[int], note: str) -> list[str]:
    """Another record for each of these people."""
    rows: dict[str, Any] = {"id": ids, "name": "Changed", "note": note, "city": "Oslo"}
    frame = pl.DataFrame(rows, schema_overrides={"id": pl.Int64})
    return messages(
        frame.with_columns(
            email=pl.format("changed{}@example.org", "id"), age=pl.col("id") % 90, salary=pl.col("id") % 9_000 + 100.5
        )
    )
