"""The rules agent: cleanses a batch and sends its parts to the partitions where their keys belong."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from processors.worker import metrics
from processors.worker.cleanse import Cleansed, cleanse
from processors.worker.directory import Directory, RunInfo
from processors.worker.outlet import Outlet
from processors.worker.pipeline import in_pool
from schemas import events, topics
from schemas.headers import Header


class RulesStage:
    def __init__(self, directory: Directory, outlet: Outlet) -> None:
        self._directory = directory
        self._outlet = outlet
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="rules")

    async def ahead(self, header: Header, payload: bytes) -> Cleansed | None:
        """What needs no order: the same batch gives the same outcome, whenever it is worked on."""
        info = await self._directory.get(header.run)
        if info is None or header.kind != "data":
            return None
        return await in_pool(self._pool, cleanse, payload, header, info)

    async def handle(
        self,
        partition: int,
        offset: int,
        header: Header,
        payload: bytes,
        begun: Awaitable[Cleansed | None] | None = None,
    ) -> list[Awaitable[Any]]:
        info = await self._directory.get(header.run)
        if info is None:
            return []
        if header.kind != "data":
            return [await self._send(info, q, header, b"") for q in range(info.partitions)]
        cleansed = await begun if begun else None
        if cleansed is None:
            cleansed = await in_pool(self._pool, cleanse, payload, header, info)
        metrics.RECORDS.labels("rules").inc(header.rows)
        metrics.BYTES.labels("rules").inc(len(payload))
        metrics.LAG_SECONDS.set(max(0.0, time.time() - float(header.extra.get("at") or 0.0)))
        return await self._emit(info, offset, header, cleansed)

    async def _emit(self, info: RunInfo, offset: int, header: Header, cleansed: Cleansed) -> list[Awaitable[Any]]:
        for rule, count in cleansed.counts["dropped"].items():
            metrics.DROPPED.labels(rule.rsplit(".", 1)[-1]).inc(count)
        pending = []
        if cleansed.letters:
            metrics.REJECTED.labels("rules").inc(len(cleansed.letters))
            pending += await send_letters(self._outlet, info, header.table, "rules", cleansed.letters)
        teller = offset % info.partitions  # one part tells the counts of the whole batch
        for q in range(info.partitions):
            part, rows = cleansed.parts.get(q, (b"", 0))
            extra = {"at": header.extra.get("at", 0.0)}
            if q == teller:
                extra["counts"] = cleansed.counts
            elif not rows:
                continue
            pending.append(await self._send(info, q, replace(header, rows=rows, extra=extra), part))
        return pending

    async def _send(self, info: RunInfo, q: int, header: Header, payload: bytes) -> Awaitable[Any]:
        where = topics.partition_of(info.run, q, self._outlet.partitions)
        return await self._outlet.send(topics.CLEANSED.name, where, header, payload)


LETTERS = 500  # in one message, at most
LETTER_BYTES = 8 << 20  # of records in one message; one that is larger goes alone


async def send_letters(
    outlet: Outlet, info: RunInfo, table: str, stage: str, letters: list[dict[str, Any]]
) -> list[Awaitable[Any]]:
    where = topics.partition_of(info.run, 0, outlet.partitions)
    pending = []
    for some in _messages(letters):
        event = {"run": info.run, "task": info.task, "table": table, "stage": stage, "letters": some}
        payload = events.encode("dead_letters", event)
        pending.append(await outlet.send_plain(topics.DEADLETTER.name, where, info.run.encode(), payload))
    return pending


def _messages(letters: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    size = 0
    for letter in letters:
        more = len(letter["sealed"])
        if some and (len(some) == LETTERS or size + more > LETTER_BYTES):
            yield some
            some, size = [], 0
        some.append(letter)
        size += more
    if some:
        yield some
