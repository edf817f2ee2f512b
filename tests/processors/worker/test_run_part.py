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
from processors.worker.ledger import Name
from processors.worker.run_part import RunPart
from schemas import topics
from schemas.columns import HASH

KEY = bytes(range(32))


class Folder:
    """Stands in for a segment table and its store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = self
        self.largest = 0
        self._sizes: dict[bytes, int] = {}

    def entries(self, partition: int) -> dict[bytes, int]:
        return self._sizes

    def path(self, partition: int, key: bytes) -> Path:
        return self.folder / key.hex()

    async def put(self, partition: int, key: bytes, value: bytes) -> None:
        self.largest = max(self.largest, len(value))
        self.path(partition, key).write_bytes(value)
        self._sizes[key] = len(value)

    async def remove(self, partition: int, keys: list[bytes]) -> None:
        for key in keys:
            del self._sizes[key]
            self.path(partition, key).unlink()


class Slow(Folder):
    """Its log takes its time to answer."""

    answered: asyncio.Event

    async def put(self, partition: int, key: bytes, value: bytes) -> None:
        await self.answered.wait()
        await super().put(partition, key, value)


async def waited(write: Awaitable[Any]) -> None:
    await write


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
    table = Folder(tmp_path)

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


def test_an_entry_stands_though_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    """A partition moves while the first of two entries is waited for; the second says what the first has taken in."""
    table = Slow(tmp_path)

    async def run() -> None:
        table.answered = asyncio.Event()
        part = part_of(table)
        waits = asyncio.ensure_future(waited(await part.append("person", 0, segment(0, 1, 1))))
        await part.append("person", 1, segment(1, 1, 1))
        await asyncio.sleep(0)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        assert waits.cancelled()
        table.answered.set()
        await part.settled()

    asyncio.run(asyncio.wait_for(run(), 20))
    assert [name.first for name in map(Name.parse, table.entries(0))] == [0, 1]
