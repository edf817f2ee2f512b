"""The checker in a process of its own, so that its memory is its own: `python -m benchmarks.checking FILE.parquet`.

Measures k, l, t and the classes' costs of the release in the file, a census by `written`, and prints seconds, peak
memory and what was reached as one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from benchmarks.census import COLUMNS, QUASI_IDENTIFIERS, codes, hierarchies
from processors.privacy.measured.measure import measure

PART: Final = 1_000_000  # rows that are made at a time
ROW_GROUP: Final = 100_000
CHECKED: Final = (*QUASI_IDENTIFIERS, "occupation")
SENSITIVE: Final = "salary-class"
_LEVELS: Final = {
    "age": 3,
    "education": 2,
    "marital-status": 1,
    "native-country": 1,
    "workclass": 1,
    "occupation": 1,
    "race": 1,
    "sex": 0,
}


def written(folder: Path, rows: int, generalized: bool) -> Path:
    """A census of so many rows as Parquet, made once; generalized by its hierarchies, or as it was collected."""
    path = folder / f"census-{rows}-{'generalized' if generalized else 'raw'}.parquet"
    if path.exists():
        return path
    unfinished, writer = path.with_suffix(".part"), None
    for seed, first in enumerate(range(0, rows, PART), 1):
        table = part(min(PART, rows - first), seed, generalized).to_arrow()
        writer = writer or pq.ParquetWriter(unfinished, table.schema)
        writer.write_table(table, row_group_size=ROW_GROUP)
    if writer is not None:
        writer.close()
        unfinished.rename(path)
    return path


def part(rows: int, seed: int, generalized: bool) -> pl.DataFrame:
    trees = hierarchies()
    coded = codes(rows, seed)
    coded["age"] -= 1  # the first age of its hierarchy is 1
    series = []
    for name in COLUMNS:
        level = _LEVELS.get(name, 0) if generalized else 0
        names = [row[level] for row in trees[name]]
        series.append(pl.Series(name, coded[name]).replace_strict(range(len(names)), names, return_dtype=pl.String))
    return pl.DataFrame(series)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    release = pl.scan_parquet(given.file)
    began, worked = time.perf_counter(), time.process_time()
    found = measure(release, CHECKED, [SENSITIVE])
    seconds, busy = time.perf_counter() - began, time.process_time() - worked
    told = {"seconds": seconds, "cpu_seconds": busy, "peak_bytes": _peak(), "threads": pl.thread_pool_size()}
    print(json.dumps({**told, "cores": os.cpu_count(), "reached": asdict(found)}))


def _peak() -> int:
    """Resident memory at most since this program began; `ru_maxrss` would begin with what its parent had."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
