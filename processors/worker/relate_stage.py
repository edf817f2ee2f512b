"""The relate agent: checks references between tables, computes derived ones, anonymizes and emits what changed.

All tables of one run that refer to each other meet on one partition, so that chains, cycles and joins are settled in
one place; different runs stand on different partitions. See docs/adr/0008.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from connectors.failpoints import hit
from processors.merge.resolve import IDENT
from processors.worker import metrics
from processors.worker.computed import letters_of
from processors.worker.directory import Directory
from processors.worker.intake import closing, take
from processors.worker.merge_stage import WINDOW, merge_producers
from processors.worker.outlet import Outlet
from processors.worker.parts import Parts
from processors.worker.pipeline import in_pool
from processors.worker.rules_stage import send_letters
from processors.worker.run_part import RunPart
from processors.worker.standing import State, counts, follow, pieces, stood
from processors.worker.windows import kept
from schemas import topics
from schemas.headers import FINAL, Header


class RelateStage:
    def __init__(self, directory: Directory, outlet: Outlet, parts: Parts) -> None:
        self._directory = directory
        self._outlet = outlet
        self._parts = parts
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="relate")

    async def handle(self, partition: int, offset: int, header: Header, payload: bytes) -> list[Awaitable[Any]]:
        info = await self._directory.get(header.run)
        if info is None:
            return []
        part = self._parts.get(partition, info)
        verdict = take(part.progress, offset, header)
        if verdict == "seen":
            metrics.REPEATED.labels("relate").inc()
            return []
        if verdict == "taken":
            metrics.RECORDS.labels("relate").inc(header.rows)
            metrics.BYTES.labels("relate").inc(len(payload))
            return [await part.append(header.table, offset, payload)]
        part.progress.told[header.producer] = header.extra["counts"]
        epoch = closing(part.progress, merge_producers(info, self._outlet.partitions))
        if epoch is None:
            return [await part.record(offset)]
        await self._close(part, offset, epoch)
        return []

    async def _close(self, part: RunPart, offset: int, epoch: int) -> None:
        started = time.monotonic()
        await part.settled()
        await part.compact()  # what an earlier owner may have left undone
        before, after = await in_pool(self._pool, self._states, part, epoch)
        window: deque[Awaitable[Any]] = deque()
        await self._reject(part, before, after, window)
        changed = pieces(part, before, after, _first(part))
        while (piece := await in_pool(self._pool, next, changed, None)) is not None:
            table, rows, payload = piece
            extra = {"append": True} if _first(part) else {}
            await self._emit(part, "data", table, rows, part.progress.closes, extra, payload, window)
            hit("worker.mid_epoch")
        end: dict[str, Any] = {
            "counts": counts(part, after),
            "final": epoch >= FINAL,
            "producers": [f"relate/{part.partition}"],
            "at": part.progress.at,
        }
        await self._emit(part, "end", "", 0, epoch, end, b"", window)
        while window:
            await window.popleft()
        state = kept(part, before.known if before else {}, after.windows)
        while (own := await in_pool(self._pool, next, state, None)) is not None:
            await part.keep(own[0], offset, own[1])
            hit("worker.mid_windows")
        part.progress.closes += 1
        part.progress.epoch = epoch
        part.progress.boundary = offset
        await (await part.record(offset))
        part.standing = None if after.numbered else (offset, after)  # of numbered tables too little is held to compare
        await part.reclaim()
        await part.compact()
        metrics.EPOCH_SECONDS.labels("relate").observe(time.monotonic() - started)

    def _states(self, part: RunPart, epoch: int) -> tuple[State | None, State]:
        """(what stands prepared by now, what shall stand)."""
        before: State | None = None
        if part.progress.closes > 0:
            known, before = part.standing or (-1, None)
            if known != part.progress.boundary:
                before = stood(part)
        return before, follow(part, before, epoch)

    async def _reject(self, part: RunPart, before: State | None, after: State, window: deque[Awaitable[Any]]) -> None:
        """Of rows that a derived table rejects a dead letter each, once."""
        for name, derived in after.derived.items():
            rejected = derived.rejected
            if before is not None:
                rejected = rejected.join(before.derived[name].rejected, on=IDENT, how="anti")
            if rejected.height:
                metrics.REJECTED.labels("relate").inc(rejected.height)
                letters = await in_pool(self._pool, letters_of, rejected, name, part)
                window.extend(await send_letters(self._outlet, part.info, name, "transform", letters))

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
        info, number = part.info, part.progress.out
        producer = f"relate/{part.partition}"
        header = Header(kind, info.task, info.run, table, producer, 0, number, epoch, rows, extra)
        part.progress.out += 1
        window.append(await self._outlet.send(topics.OUTBOX.name, part.partition, header, payload))
        while len(window) > WINDOW:
            await window.popleft()


def _first(part: RunPart) -> bool:
    return part.progress.closes == 0 and part.info.mode == "snapshot"
