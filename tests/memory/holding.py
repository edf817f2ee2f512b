"""How much more a process holds at its peak than before it began: run as a process of its own, prints bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

import connectors.sources
from connectors.sources.contract import SourceKind
from connectors.sources.open_sources import open_source
from processors.merge.close import RANGE_ROWS
from processors.segments.format import open_segment
from processors.segments.walk import ranges, walk
from processors.worker.run_part import FileRead
from schemas.discovery import discover
from schemas.task.model import Task

KEY = bytes(range(32))


def walked(entry: str, times: str) -> Iterable[object]:
    """An entry of a segment table, as if it stood there so many times."""
    segments = [open_segment(FileRead(Path(entry)), KEY) for _ in range(int(times))]
    return walk(segments, ranges(segments, RANGE_ROWS))


def read(file: str) -> Iterable[object]:
    table = {"columns": {"id": {"type": "int64"}, "text": {"type": "string"}}}
    table["sources"] = {"s": {"connector": "csv", "path": file}}
    task = Task.model_validate({"task": "t", "tables": {"t": table}})
    source = open_source(task, "t", "s", Path(file).parent, {}, discover(connectors.sources, SourceKind), {})
    for split in source.splits():
        yield from source.read(split, None)


def main(what: str, *given: str) -> None:
    process = psutil.Process()
    found = {"walked": walked, "read": read}[what](*given)
    before = most = process.memory_info().rss
    for _ in found:
        most = max(most, process.memory_info().rss)
    print(most - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
