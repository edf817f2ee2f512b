"""Runs one stage: a queue and a task for each partition, acknowledgement strictly in offset order after durability.

A handler returns what has to be delivered before its event may be acknowledged, so that the next batch is worked on
while the last one is on its way. What needs no order may begin one batch ahead: a partition by itself keeps two cores
busy, and what it sends stays in order. A handler's `Fatal` halts the event's run alone; anything unforeseen ends the
process, and whoever takes the partition over starts from what was acknowledged.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog

from processors.worker import metrics
from processors.worker.delivery import ordered
from processors.worker.directory import Directory
from processors.worker.ending import end_process
from schemas import headers
from schemas.errors import Fatal, MetalError, Retriable

log = structlog.get_logger()

T = TypeVar("T")
Pending = Sequence[Awaitable[Any]]
Handler = Callable[..., Awaitable[Pending]]
Ahead = Callable[[headers.Header, bytes], Coroutine[Any, Any, Any]]
Begun = asyncio.Task[Any] | None

DEPTH = 4  # batches of one partition on their way at once
QUEUE = 2  # batches of one partition waiting: megabytes each


async def in_pool(pool: Executor, what: Callable[..., T], *given: Any) -> T:
    """Runs a pure core in a thread. What it raises unforeseen halts the run that caused it, not the worker.

    The exception's text may hold a raw value, so only its kind and its place are told.
    """
    try:
        with metrics.computing():
            return await asyncio.get_running_loop().run_in_executor(pool, what, *given)
    except MetalError:
        raise
    except Exception as error:
        place = "".join(traceback.format_tb(error.__traceback__)[-6:])
        log.error("a core failed unforeseen", kind=type(error).__name__, place=place)
        raise Fatal(f"an unforeseen {type(error).__name__}; the worker's log says where") from None


class Stage:
    """`handle` is called with (partition, offset, header, payload), in order within a partition.

    Where `ahead` has begun with a message already, `handle` gets that task as `begun`, for what comes of it.
    """

    def __init__(self, name: str, directory: Directory, handle: Handler, ahead: Ahead | None = None) -> None:
        self.name = name
        self._directory = directory
        self._handle = handle
        self._ahead = ahead
        self._queues: dict[int, asyncio.Queue[tuple[Any, Any]]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._leaving: Callable[[], bool] = lambda: False

    async def run(self, app: Any, stream: Any) -> None:
        self._leaving = lambda: bool(getattr(app, "should_stop", False))
        async for event in ordered(app, stream):
            partition = event.message.partition
            if partition not in self._queues:
                self._queues[partition] = asyncio.Queue(maxsize=QUEUE)
                self._tasks[partition] = asyncio.create_task(self._drain(partition))
            await self._queues[partition].put((stream, event))

    def waits(self, partition: int) -> bool:
        """Whether something of the partition stands in its queue."""
        return partition in self._queues and not self._queues[partition].empty()

    def drop(self, partitions: set[int]) -> None:
        """These partitions have moved: what stands in their queues comes again, here or elsewhere."""
        for partition in partitions & self._queues.keys():
            self._tasks.pop(partition).cancel()
            queue = self._queues.pop(partition)
            while not queue.empty():  # also wakes `run` where it waits for a place in this queue
                queue.get_nowait()

    async def _drain(self, partition: int) -> None:
        queue = self._queues[partition]
        window: deque[tuple[Any, Any, Pending]] = deque()
        following: tuple[Any, Any, Begun] | None = None
        try:
            while True:
                if following is None:
                    while window and queue.empty():
                        await self._settle(window)
                    following = (*await queue.get(), None)
                (stream, event, begun), following = following, None
                if self._ahead is not None and not queue.empty():
                    behind = queue.get_nowait()
                    following = (*behind, self._begin(self._ahead, behind[1].message))
                window.append((stream, event, await self._process(partition, queue, event, begun)))
                if len(window) >= DEPTH:
                    await self._settle(window)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if self._lost(partition, queue):
                # Nothing was acknowledged, so it is read again.
                log.info("what was at work is left", stage=self.name, partition=partition, kind=type(error).__name__)
                return
            end_process(f"the stage {self.name} can't go on with partition {partition}", error)
        finally:
            if following is not None and following[2] is not None:
                following[2].cancel()

    def _begin(self, ahead: Ahead, message: Any) -> Begun:
        with suppress(Fatal):  # which is told when it is its turn
            begun = asyncio.create_task(ahead(_header(message), message.value or b""))
            begun.add_done_callback(lambda task: task.cancelled() or task.exception())  # it may be left, unasked
            return begun
        return None

    def _lost(self, partition: int, queue: asyncio.Queue[Any]) -> bool:
        """The partition has moved, or this worker goes: its local state may be gone under the work that goes on."""
        return self._leaving() or self._queues.get(partition) is not queue

    async def _settle(self, window: deque[tuple[Any, Any, Pending]]) -> None:
        stream, event, pending = window.popleft()
        for one in pending:
            await one
        # Enforces: an offset is acknowledged only after what it caused is durable, and in offset order.
        await stream.ack(event)
        metrics.ACKED.labels(self.name).inc()
        metrics.worked()

    async def _process(self, where: int, queue: asyncio.Queue[Any], event: Any, begun: Begun) -> Pending:
        message = event.message
        delay = 0.2
        try:
            header = _header(message)
        except Fatal as error:  # of no run, so there is none to halt
            log.error("left out", topic=message.topic, partition=where, offset=message.offset, reason=str(error))
            return []
        while True:
            try:
                with metrics.STAGE_SECONDS.labels(self.name).time():
                    handle = self._handle if begun is None else partial(self._handle, begun=begun)
                    begun = None  # what has failed is done again from its beginning
                    return await handle(where, message.offset, header, message.value or b"")
            except Retriable as error:
                if self._lost(where, queue):
                    raise  # Enforces: what was begun here is begun anew by whoever comes next, and not taken for done
                log.warning("a stage waits for something outside", stage=self.name, run=header.run, error=str(error))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)
            except Fatal as error:
                if self._lost(where, queue):
                    raise  # Enforces: a run is never halted for what a worker finds that no longer has the partition
                if self._directory.over(header.run):
                    return []  # stopped while this batch was at work: what it needs may be gone already
                log.error("a run is halted", stage=self.name, run=header.run, reason=str(error))
                await self._directory.fail(header.run, f"{self.name}: {error}")
                return []
            except Exception as error:
                if not self._directory.over(header.run):
                    raise
                # Its state went from under the batch that was at work.
                log.info("left with its run", stage=self.name, run=header.run, kind=type(error).__name__)
                return []


def _header(message: Any) -> headers.Header:
    return headers.decode(message.headers.items() if isinstance(message.headers, dict) else message.headers)
