"""The census as a task of the engine: a CSV file of so many people, and what is asked of their groups.

The people are those of `benchmarks.mondrian`, perturbed so that few are equal, each under a number of its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.mondrian import PART, QUASI_IDENTIFIERS, K, part, whose

COLUMNS: Final = tuple(name.replace("-", "_") for name in QUASI_IDENTIFIERS)
TASK: Final = """
task: census
tables:
  person:
    columns:
      id: {{type: int64}}
{columns}
    primary_key: {{column: id, conflicts: drop_all}}
    sources:
      census: {{connector: csv, path: census.csv}}
    anonymize:
      - {{method: suppress, columns: [id]}}
      - method: generalize
        quasi_identifiers: [{names}]
        k: {k}
        grain: {{age: {{step: 1}}}}
"""


def task(data: Path, records: int) -> Path:
    """The task over so many records; the file of an earlier run is used again."""
    folder = data / f"census-{whose()}-{records}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _write(folder / "census.csv", records)
        (folder / "complete").touch()
    path = folder / "census.task.yaml"
    kinds = [f"      {name}: {{type: {'int64' if name == 'age' else 'string'}}}" for name in COLUMNS]
    path.write_text(TASK.format(columns="\n".join(kinds), names=", ".join(COLUMNS), k=K))
    return path


def _write(path: Path, records: int) -> None:
    with path.open("wb") as file:
        for first in range(0, records, PART):
            people = part("perturbed", first, min(PART, records - first))
            people.columns = list(COLUMNS)
            numbers = pl.int_range(first, first + people.height, eager=True).alias("id")
            people.insert_column(0, numbers).write_csv(file, include_header=first == 0)
