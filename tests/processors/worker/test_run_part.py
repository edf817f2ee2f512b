"""Compaction of one run's segments on one partition, with a table that keeps its entries in a folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl

from processors.segments.format import build
from processors.worker.run_part import RunPart
from schemas import topics
from schemas.columns import HASH
from tests.processors.worker.folder import Folder

KEY = bytes(range(32))


class Measured(Folder):
    """Knows its largest entry."""

    largest = 0

    def put(self, partition: int, key: bytes, value: bytes) -> Awaitable[None]:
        self.largest = max(self.largest, len(value))
        return super().put(partition, key, value)


def part_of(table: Folder) -> RunPart:
    plan: Any = SimpleNamespace(tables={"person": None})
    info: Any = SimpleNamespace(run="r", key=KEY, mode="continuous", plan=plan)
    return RunPart(0, info, table)  # type: ignore[arg-type]  # all that it asks of a table


def segment(number: int, rows: int, width: int) -> bytes:
    """Rows that no codec makes smaller."""
    hashes = pl.Series(HASH, [number + 1000 * row for row in range(rows)], dtype=pl.UInt64)
    return build(pl.DataFrame({HASH: hashes, "raw": [os.urandom(width) for _ in range(rows)]}), KEY, 64)


async def filled(table: Folder, count: int, rows: int, width: int) -> RunPart:
    part = part_of(table)
    for number in range(count):
        part.progress.applied = number
        await part.append("person", number, segment(number, rows, width))
    await part.settled()
    part.progress.boundary = count - 1
    return part


def test_what_is_merged_fits_a_message(tmp_path: Path) -> None:
    table = Measured(tmp_path)

    async def run() -> RunPart:
        part = await filled(table, 40, 100, 6_000)
        await part.compact()
        return part

    part = asyncio.run(run())
    found = part.segments("person")
    assert len(found) < 10
    assert sum(one.rows for one in found) == 4_000
    assert 4 << 20 < table.largest < topics.MAX_MESSAGE
    assert len(part_of(table).segments("person")) == len(found)


def test_nothing_behind_the_last_epoch_is_merged(tmp_path: Path) -> None:
    table = Folder(tmp_path)

    async def run() -> RunPart:
        part = await filled(table, 12, 10, 10)
        part.progress.boundary = 5
        await part.compact()
        return part

    assert len(asyncio.run(run()).segments("person")) == 12
