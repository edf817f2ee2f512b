"""The merge agent: keeps a run's cleansed rows as segments, and closes an epoch when every lane has ended it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import polars as pl

from connectors.failpoints import hit
from processors.merge.close import Change, close
from processors.plan import TablePlan
from processors.segments.format import Segment
from processors.worker import metrics
from processors.worker.corrections import generate as _generate
from processors.worker.directory import Directory, RunInfo
from processors.worker.intake import add_counts, closing, take
from processors.worker.letters import merged_letters
from processors.worker.outlet import Outlet
from processors.worker.parts import Parts
from processors.worker.pipeline import in_pool
from processors.worker.rules_stage import send_letters
from processors.worker.run_part import RunPart
from processors.worker.shape import Piece, prepared, related
from schemas import topics
from schemas.headers import FINAL, Header
from schemas.placement import seed

CLOSES = 2  # partitions that close at once: each holds a block of every segment of its own
MANY = 256  # segments of which the blocks are held for one partition at a time
FEW = 1 << 14  # new rows up to which a close mostly reads single old ones
WINDOW = 4  # batches sent and not yet known to be durable


class MergeStage:
    def __init__(self, directory: Directory, outlet: Outlet, parts: Parts) -> None:
        self._directory = directory
        self._outlet = outlet
        self._parts = parts
        self._pool = ThreadPoolExecutor(CLOSES, thread_name_prefix="merge")
        # Reading single rows is many short steps that wait for the interpreter: two at once are done no sooner, and the
        # first one's rows would not be on their way while the second one's are read.
        self._few = ThreadPoolExecutor(1, thread_name_prefix="merge-few")
        self._closing = asyncio.Semaphore(CLOSES)
        self._many = asyncio.Lock()

    async def handle(self, partition: int, offset: int, header: Header, payload: bytes) -> list[Awaitable[Any]]:
        info = await self._directory.get(header.run)
        if info is None:
            return []
        part = self._parts.get(partition, info)
        verdict = take(part.progress, offset, header)
        if verdict == "seen":
            metrics.REPEATED.labels("merge").inc()
            return []
        if verdict == "taken":
            metrics.RECORDS.labels("merge").inc(header.rows)
            metrics.BYTES.labels("merge").inc(len(payload))
            if "counts" in header.extra:
                add_counts(part.progress.counts.setdefault(header.table, {}), header.extra["counts"])
            if not header.rows:
                return [await part.record(offset)]
            return [await part.append(header.table, offset, payload)]
        if verdict == "ended":
            epoch = closing(part.progress, [f"lane/{lane}" for lane in range(info.lanes)])
            if epoch is not None:
                async with self._closing:
                    await self._close(part, offset, epoch)
                return []
        return [await part.record(offset)]

    async def _close(self, part: RunPart, offset: int, epoch: int) -> None:
        started = time.monotonic()
        await part.settled()
        await part.compact()  # what an earlier owner may have left undone
        window: deque[Awaitable[Any]] = deque()
        for table in part.info.plan.tables.values():
            await self._close_table(part, table, window)
        await self._end(part, epoch, window)
        while window:
            await window.popleft()
        part.progress.closes += 1
        part.progress.epoch = epoch
        part.progress.boundary = offset
        await (await part.record(offset))
        await part.reclaim()
        await part.compact()
        metrics.EPOCH_SECONDS.labels("merge").observe(time.monotonic() - started)

    async def _close_table(self, part: RunPart, table: TablePlan, window: deque[Awaitable[Any]]) -> None:
        new = part.segments(table.name, after=part.progress.boundary)
        if not new:
            return
        async with self._many if len(new) > MANY else nullcontext():
            await self._send_changes(part, table, new, window)

    async def _send_changes(
        self, part: RunPart, table: TablePlan, new: Sequence[Segment], window: deque[Awaitable[Any]]
    ) -> None:
        old = part.segments(table.name, upto=part.progress.boundary)
        counts = part.progress.counts.setdefault(table.name, {})
        key = part.info.key
        changes = close(new, old, table, seed(key, "content"), _generate(part.info, table.name), part.info.partitions)
        shaped = self._shaped(changes, part, table)
        pool = self._few if sum(segment.rows for segment in new) <= FEW else self._pool
        while True:
            found = await in_pool(pool, next, shaped, None)
            if found is None:
                return
            change, piece = found
            if piece is None:
                add_counts(counts, change.counts)
                if change.rejected.height:
                    window.extend(await self._reject(part, table, change.rejected))
            else:
                rows, payload = piece
                extra = {"append": True} if change.fresh else {}
                await self._emit(part, "data", table.name, rows, part.progress.closes, extra, payload, window)
                hit("worker.mid_epoch")

    def _shaped(
        self, changes: Iterator[Change], part: RunPart, table: TablePlan
    ) -> Iterator[tuple[Change, Piece | None]]:
        """Each change by itself, and then with each piece that is sent of it."""
        info, progress = part.info, part.progress
        for change in changes:
            yield change, None
            if change.upserts.height or change.gone.height:
                if info.plan.relational:
                    pieces = related(change.upserts, change.gone, table, info, progress.closes)
                else:
                    pieces = prepared(change.upserts, change.gone, table.output_plan, info, change.fresh)
                yield from ((change, piece) for piece in pieces)

    async def _reject(self, part: RunPart, table: TablePlan, rejected: pl.DataFrame) -> list[Awaitable[Any]]:
        letters = merged_letters(rejected, table, part.info)
        return await send_letters(self._outlet, part.info, table.name, "transform", letters)

    async def _end(self, part: RunPart, epoch: int, window: deque[Awaitable[Any]]) -> None:
        info = part.info
        extra = {
            "counts": part.progress.counts,
            "final": epoch >= FINAL,
            "producers": merge_producers(info, self._outlet.partitions),
            "at": part.progress.at,
        }
        await self._emit(part, "end", "", 0, epoch, extra, b"", window)

    async def _emit(
        self,
        part: RunPart,
        kind: Any,
        table: str,
        rows: int,
        epoch: int,
        extra: dict[str, Any],
        payload: bytes,
        window: deque[Awaitable[Any]],
    ) -> None:
        info = part.info
        header = Header(
            kind,
            info.task,
            info.run,
            table,
            f"merge/{part.partition}",
            0,
            part.progress.out,
            epoch,
            rows,
            extra,
        )
        part.progress.out += 1
        if info.plan.relational:
            topic, where = topics.RELATED.name, topics.partition_of(info.run, 0, self._outlet.partitions)
        else:
            topic, where = topics.OUTBOX.name, part.partition
        window.append(await self._outlet.send(topic, where, header, payload))
        while len(window) > WINDOW:
            await window.popleft()


def merge_producers(info: RunInfo, total: int) -> list[str]:
    return sorted({f"merge/{topics.partition_of(info.run, q, total)}" for q in range(info.partitions)})
