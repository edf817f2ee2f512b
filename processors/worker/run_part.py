"""One run on one partition of a stage that keeps state: its segments, its progress, and how both become durable."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import polars as pl

from connectors.failpoints import hit
from processors.segments.format import Segment, build, open_segment
from processors.segments.walk import ranges, walk
from processors.worker.directory import RunInfo
from processors.worker.ledger import OWN, Name, Progress, mergeable, pack, segment_start, unpack_progress, visible
from processors.worker.table import SegmentTable
from schemas.headers import FINAL

BLOCK_ROWS = 256  # of a segment that stays for point reads, as in cleanse
COMPACT_BYTES = 7 << 20  # of what one compaction merges, so that the outcome fits a message, in smaller blocks too
SMALL_BYTES = COMPACT_BYTES >> 6


class FileRead:
    """Reads parts of an entry's file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with open(path, "rb") as file:
            self._start = segment_start(file.read(4))

    def __call__(self, offset: int, length: int) -> bytes:
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            return os.pread(descriptor, length, self._start + offset)
        finally:
            os.close(descriptor)


class RunPart:
    def __init__(self, partition: int, info: RunInfo, table: SegmentTable) -> None:
        self.partition = partition
        self.info = info
        self.progress = Progress()
        self._table = table
        self._names: dict[str, list[Name]] = {}
        self._open: dict[Name, Segment] = {}
        self._pending: list[Awaitable[Any]] = []
        self._hidden: list[Name] = []
        self.standing: tuple[int, Any] | None = None  # an offset and what a stage knows of the state up to it
        self._load()

    def _load(self) -> None:
        store = self._table.store
        best: Name | None = None
        found: dict[str, list[Name]] = {}
        for key in list(store.entries(self.partition)):  # which a thread that writes may add to
            name = Name.parse(key)
            if name.run != self.info.run:
                continue
            if name.table:
                found.setdefault(name.table, []).append(name)
            else:
                self._hidden.append(name)
            if name.first == name.last and OWN not in name.table and (best is None or name.last > best.last):
                best = name  # what was merged carries no progress: it was taken in before the last epoch was closed
        if best is not None:
            self.progress = _progress(store.path(self.partition, best.key()))
        self._names = {table: visible(names) for table, names in found.items()}
        self._hidden.sort(key=lambda name: name.last)

    def segments(self, table: str, after: int = -1, upto: int = 2**62) -> list[Segment]:
        """Those whose rows came behind the offset `after`, up to `upto`."""
        return [self._segment(n) for n in self._names.get(table, []) if n.first > after and n.last <= upto]

    def _segment(self, name: Name) -> Segment:
        if name not in self._open:
            self._open[name] = open_segment(FileRead(self._table.store.path(self.partition, name.key())), self.info.key)
        return self._open[name]

    async def append(self, table: str, offset: int, segment: bytes) -> Awaitable[Any]:
        """The rows of one input, with the progress behind it, as one entry."""
        name = Name(self.info.run, table, offset, offset)
        write = self._write(name, pack(self.progress, segment))
        self._names.setdefault(table, []).append(name)
        return write

    def own_tables(self) -> list[str]:
        """Tables that the stage keeps for itself."""
        return [table for table in self._names if OWN in table]

    async def keep(self, table: str, offset: int, segment: bytes) -> None:
        """Rows that the stage makes itself of what came up to an offset: a close that is done again keeps them again.

        Enforces: without progress; they count from when the boundary that reaches them is recorded.
        """
        name = Name(self.info.run, table, offset, offset)
        await self._table.put(self.partition, name.key(), pack(Progress(), segment))
        self._open.pop(name, None)
        self._names[table] = visible([*self._names.get(table, []), name])

    async def record(self, offset: int) -> Awaitable[Any]:
        """The progress alone; what it replaces is reclaimed later."""
        name = Name(self.info.run, "", offset, offset)
        write = self._write(name, pack(self.progress))
        self._hidden.append(name)
        return write

    def _write(self, name: Name, entry: bytes) -> Awaitable[Any]:
        write = self._table.put(self.partition, name.key(), entry)
        self._pending.append(write)
        return write

    async def settled(self) -> None:
        """Everything written so far is durable and can be read here."""
        pending, self._pending = self._pending, []
        for write in pending:
            await write
        hit("worker.after_segment")

    async def reclaim(self) -> None:
        """Tombstones for records of progress that a newer one has replaced."""
        await self.settled()
        old, self._hidden = self._hidden[:-1], self._hidden[-1:]
        if old:
            await self._table.remove(self.partition, [name.key() for name in old])

    async def compact(self) -> None:
        """Merges small closed segments of every table, until there is nothing more to merge.

        Enforces: what is merged with what follows from the log alone. It is done with before the next epoch is closed,
        also by whoever takes over in between, so two owners' ranges hide one another and never overlap in part.
        """
        if self.info.mode == "continuous" or self.progress.epoch > FINAL:
            for table in [*self.info.plan.tables, *self.own_tables()]:
                while await self._compact_once(table):
                    pass

    async def _compact_once(self, table: str) -> bool:
        """Never across the last closed epoch, so what a close sees stays told apart."""
        closed = [n for n in self._names.get(table, []) if n.last <= self.progress.boundary]
        sizes = self._table.store.entries(self.partition)
        found = mergeable([sizes[n.key()] for n in closed], COMPACT_BYTES, base=SMALL_BYTES)
        if found is None:
            return False
        parts = closed[found[0] : found[0] + found[1]]
        segment = await asyncio.to_thread(self._merged, parts)
        name = Name(self.info.run, table, parts[0].first, parts[-1].last)
        await self._table.put(self.partition, name.key(), pack(Progress(), segment))
        self._names[table] = visible([*self._names[table], name])
        for part in parts:
            self._open.pop(part, None)
        await self._table.remove(self.partition, [part.key() for part in parts])
        return True

    def _merged(self, parts: list[Name]) -> bytes:
        segments = [self._segment(name) for name in parts]
        frames = [frame for _, frame in walk(segments, ranges(segments, 1 << 18))]
        return build(pl.concat(frames, how="diagonal"), self.info.key, BLOCK_ROWS)


def _progress(path: Path) -> Progress:
    with open(path, "rb") as file:
        head = file.read(4)
        return unpack_progress(head + file.read(segment_start(head) - len(head)))


def stored_runs(table: SegmentTable, partition: int) -> set[str]:
    return {Name.parse(key).run for key in list(table.store.entries(partition))}


async def forget(table: SegmentTable, partition: int, run: str) -> None:
    """Removes everything of a run from a partition; its key is gone already, this gives the space back."""
    keys = [key for key in list(table.store.entries(partition)) if Name.parse(key).run == run]
    if keys:
        await table.remove(partition, keys)
