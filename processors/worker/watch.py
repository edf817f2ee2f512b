"""Looks after a worker from inside: is it ready, does what it reads get acknowledged, does its recovery go on.

A worker that stands still is ended; whoever comes next starts from what was acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from processors.worker import metrics
from processors.worker.app import Worker
from processors.worker.ending import end_process

log = structlog.get_logger()

STALL = 60.0  # seconds behind the end of a partition without anything done, and nothing being computed
LOST = 10.0  # seconds in which nothing of a partition is handed over though more of it was read
RECOVERY = 60.0  # seconds of recovery without an entry read


class Watch:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._recovering_since: float | None = time.monotonic()
        self._stalled_since: float | None = None
        self._activity = -1.0
        self._beat = 0.0
        self._standing: dict[Any, tuple[int, float]] = {}  # partition -> the offset that is due, and since when

    def ready(self) -> tuple[bool, str]:
        app: Any = self._worker.app
        if time.monotonic() - self._beat > 10:
            return False, "the event loop does not answer"
        if app.rebalancing or not app.tables.recovery.completed.is_set():
            return False, "recovering"
        if self._stalled_since is not None and time.monotonic() - self._stalled_since > STALL / 3:
            return False, "batches wait, and none is acknowledged"
        return True, "working"

    async def run(self) -> None:
        while True:
            self._beat = time.monotonic()
            if not self._look():
                await self._ask_again()
            await asyncio.sleep(1.0)

    def _look(self) -> bool:
        """Whether the worker recovers."""
        app: Any = self._worker.app
        for name, table in self._worker.tables.items():
            metrics.STATE_BYTES.labels(name).set(table.store.size())
        consumer = app.consumer
        metrics.HOLES.set(consumer.holes)
        recovering = app.rebalancing or not app.tables.recovery.completed.is_set()
        self._recovering(recovering)
        if not recovering:
            self._stalled(self._lag())
        return bool(recovering)

    async def _ask_again(self) -> None:
        """Seeks back where the last messages of a partition were read and came to no stage.

        A hole shows by the next message; behind the last one there is none, so somebody has to look. What comes
        twice is dropped.
        """
        consumer: Any = self._worker.app.consumer
        now = time.monotonic()
        for tp in consumer.assignment():
            due, end = consumer.due.get((tp.topic, tp.partition)), consumer.highwater(tp)
            if due is None or end is None or end <= due or self._worker.waits(tp.topic, tp.partition):
                self._standing.pop(tp, None)
            elif self._standing.get(tp, (None, now))[0] != due:
                self._standing[tp] = (due, now)
            elif now - self._standing[tp][1] > LOST:
                log.warning("what was read came to no stage: it is read again", topic=tp.topic, partition=tp.partition)
                self._standing[tp] = (due, now)
                await consumer.rewind(tp, due)

    def _recovering(self, recovering: bool) -> None:
        if not recovering:
            self._recovering_since = None
            return
        tables: Any = self._worker.app.tables
        moved = float(sum(value or 0 for value in tables.recovery.active_offsets.values()))
        if self._recovering_since is None or moved != self._activity:
            self._recovering_since, self._activity = time.monotonic(), moved
        elif time.monotonic() - self._recovering_since > RECOVERY:
            end_process("the tables' recovery stands still")

    def _lag(self) -> int:
        """Batches that wait in the assigned stage partitions."""
        consumer: Any = self._worker.app.consumer
        lag: dict[str, int] = {}
        for tp in consumer.assignment():
            if consumer._is_changelog_tp(tp):
                continue
            end = consumer.highwater(tp)
            due = consumer.due.get((tp.topic, tp.partition))
            if end is not None and due is not None:
                lag[tp.topic] = lag.get(tp.topic, 0) + max(0, end - due)
        for topic, count in lag.items():
            metrics.LAG.labels(topic).set(count)
        return sum(lag.values())

    def _stalled(self, lag: int) -> None:
        done = metrics.work_done()
        if lag == 0 or done != self._activity or metrics.is_computing():
            self._stalled_since, self._activity = None, done
        elif self._stalled_since is None:
            self._stalled_since = time.monotonic()
        elif time.monotonic() - self._stalled_since > STALL:
            end_process("batches wait, and none is acknowledged")
