"""What a run's work costs without Kafka and PostgreSQL: `python -m benchmarks.chain [RECORDS]` prints JSON.

The contract's people from CSV to batches for the review store, step by step in one process. Seconds are of
processor time for all records, medians of several turns. `everything` is the same with no column let go behind the
rules (docs/adr/0022-let-go.md), taken in turn.
"""

from __future__ import annotations

import os
import sys

from deploy.stack.roster import MEMORY

# As the services run, and before anything is loaded that reads it.
if __name__ == "__main__" and not MEMORY.items() <= os.environ.items():
    os.execve(sys.executable, [sys.executable, "-m", "benchmarks.chain", *sys.argv[1:]], {**os.environ, **MEMORY})

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import connectors.sources
from benchmarks.data import SOURCES, people_task
from connectors.connect.pieces import Sent, pieces
from connectors.sources.contract import SourceKind
from connectors.sources.open_sources import open_source
from control_api.actions.run_tables import compiled
from control_api.composition import components
from processors.merge.close import close
from processors.plan import TablePlan
from processors.segments.format import from_bytes
from processors.worker.cleanse import cleanse
from processors.worker.corrections import generate
from processors.worker.directory import RunInfo
from processors.worker.shape import prepared
from schemas import extracted
from schemas.discovery import discover
from schemas.headers import Header
from schemas.task.load import load

KEY = bytes(range(32))
RUNS = 5
PARTITIONS = 3
TABLE = "person"

Batches = list[tuple[Header, bytes]]


def read(task: Path) -> Batches:
    """What `connect` sends."""
    spec, kinds = load(task, components()).task, discover(connectors.sources, SourceKind)
    found: Batches = []
    for number, name in enumerate(SOURCES):
        source = open_source(spec, TABLE, name, task.parent, {}, kinds, {})
        for split in source.splits():
            for chunk in source.read(split, None):
                for rows, rejects, _ in pieces(chunk, Sent()):
                    extra = {"source": number, "name": name, "split": split.name}
                    records = rows.height + rejects.height
                    header = Header("data", "people", "run", TABLE, f"lane/{number}", 0, len(found), 0, records, extra)
                    found.append((header, extracted.seal(rows, rejects, KEY)))
        source.close()
    return found


def ruled(batches: Batches, info: RunInfo) -> list[list[bytes]]:
    """Segments by partition."""
    parts: list[list[bytes]] = [[] for _ in range(info.partitions)]
    for header, payload in batches:
        for partition, (segment, _) in cleanse(payload, header, info).parts.items():
            parts[partition].append(segment)
    return parts


def closed(parts: list[list[bytes]], info: RunInfo, table: TablePlan) -> tuple[int, int]:
    """Rows and bytes for the review store."""
    rows = size = 0
    for part in parts:
        segments = [from_bytes(one, KEY) for one in part]
        for change in close(segments, [], table, 5, generate(info, table.name), info.partitions):
            for count, payload in prepared(change.upserts, change.gone, table.output_plan, info, change.fresh):
                rows, size = rows + count, size + len(payload)
    return rows, size


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sizes: dict[str, Any] = {}

    @contextmanager
    def timed(form: str, step: str) -> Iterator[None]:
        start = time.process_time()
        yield
        seconds[form][step].append(time.process_time() - start)

    with tempfile.TemporaryDirectory() as folder:
        task = people_task(Path(folder), count)
        plan = compiled(load(task, components()).task)
        table = plan.tables[TABLE]
        every = replace(table, stored=table.columns, merge=replace(table.merge, columns=table.columns))
        forms = {"as_it_is": plan, "everything": replace(plan, tables={TABLE: every})}
        for _ in range(RUNS):
            for form, planned in forms.items():
                info = RunInfo("run", "people", "snapshot", PARTITIONS, 2, planned, KEY)
                with timed(form, "read"):
                    batches = read(task)
                with timed(form, "rules"):
                    parts = ruled(batches, info)
                with timed(form, "merge_and_anonymize"):
                    rows, size = closed(parts, info, planned.tables[TABLE])
                sent = {"extracted": sum(len(one) for _, one in batches), "outbox": size}
                sent["cleansed"] = sum(len(one) for part in parts for one in part)
                sizes[form] = {name: round(held / count, 1) for name, held in sent.items()}
    told = {form: {step: statistics.median(found) for step, found in steps.items()} for form, steps in seconds.items()}
    figures = {
        form: {
            "cpu_seconds": {step: round(found, 3) for step, found in steps.items()},
            "cpu_seconds_in_all": round(sum(steps.values()), 3),
            "bytes_per_record": sizes[form],
        }
        for form, steps in told.items()
    }
    print(json.dumps({"cores": os.cpu_count(), "records": count, "prepared": rows, **figures}, indent=1))


if __name__ == "__main__":
    main()
