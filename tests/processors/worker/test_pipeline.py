"""A stage by itself: what it acknowledges, when, and what stops one run and what stops the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from processors.worker import pipeline
from processors.worker.directory import Directory
from processors.worker.pipeline import QUEUE, Stage, in_pool
from schemas import headers
from schemas.errors import Fatal, Retriable
from schemas.headers import Header

TOPIC = "metal.cleansed"


@dataclass(frozen=True)
class Message:
    offset: int
    headers: Any
    topic: str = TOPIC
    partition: int = 0
    value: bytes = b""


@dataclass(frozen=True)
class Event:
    message: Message


def event(offset: int, run: str = "run") -> Event:
    header = Header("data", "t", run, "t", "lane/0", 1, offset, 0, 1)
    return Event(Message(offset, headers.encode(header)))


@dataclass
class Stream:
    events_: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    acknowledged: list[int] = field(default_factory=list)

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Event]:
        while True:
            yield await self.events_.get()

    async def ack(self, event: Event) -> None:
        self.acknowledged.append(event.message.offset)


async def soon(what: Callable[[], bool]) -> None:
    for _ in range(1000):
        if what():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it does not come")


@dataclass
class Rig:
    """A stage at work on a stream."""

    handle: Any
    ahead: Any = None
    failed: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory = Directory(lambda _: None, lambda run, reason: self.failed.append((run, reason)))
        self.stage = Stage("told", self.directory, self.handle, self.ahead)
        self.stream = Stream()
        self.consumer = type("Consumer", (), {})()
        self.consumer.due = {(TOPIC, 0): 0}
        self.app = type("App", (), {"consumer": self.consumer})()

    async def __aenter__(self) -> Rig:
        self.running = asyncio.create_task(self.stage.run(self.app, cast(Any, self.stream)))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stage.drop({0})
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    def give(self, *events: Event) -> None:
        for one in events:
            self.stream.events_.put_nowait(one)

    async def acknowledged(self, count: int) -> list[int]:
        await soon(lambda: len(self.stream.acknowledged) >= count)
        return self.stream.acknowledged


def test_acknowledged_is_in_order_and_only_what_is_durable() -> None:
    async def play() -> None:
        durable = [asyncio.get_running_loop().create_future() for _ in range(3)]

        async def handle(partition: int, offset: int, header: Header, _: bytes) -> list[Awaitable[Any]]:
            return [durable[offset]]

        async with Rig(handle) as rig:
            rig.give(*map(event, range(3)))
            durable[1].set_result(None)
            durable[2].set_result(None)
            await asyncio.sleep(0.05)
            assert rig.stream.acknowledged == []
            durable[0].set_result(None)
            assert await rig.acknowledged(3) == [0, 1, 2]

    asyncio.run(play())


def test_a_fatal_error_halts_its_run_alone() -> None:
    async def handle(partition: int, offset: int, header: Header, _: bytes) -> list[Awaitable[Any]]:
        if header.run == "bad":
            raise Fatal("it can't be")
        return []

    async def play() -> None:
        async with Rig(handle) as rig:
            rig.give(event(0, "bad"), event(1, "good"))
            assert await rig.acknowledged(2) == [0, 1]
            assert rig.failed == [("bad", "told: it can't be")]

    asyncio.run(play())


@pytest.mark.parametrize("error", [Fatal("a file that was there is gone"), Retriable("this worker goes")])
@pytest.mark.parametrize("leaving", [False, True])
def test_what_fails_after_its_partition_has_gone_halts_no_run(leaving: bool, error: Exception) -> None:
    """Its local state may have gone under the work: whoever has the partition now does it again.

    Tried again here it would be taken for done, since it was taken in, and be acknowledged without its outcome.
    """
    tries: list[int] = []

    async def play() -> None:
        reached = asyncio.Event()

        async def handle(partition: int, offset: int, header: Header, _: bytes) -> list[Awaitable[Any]]:
            if leaving:
                rig.app.should_stop = True
            else:
                rig.stage.drop({0})
            reached.set()
            tries.append(offset)
            if len(tries) > 1:
                return []
            raise error

        rig = Rig(handle)
        async with rig:
            rig.give(event(0))
            await reached.wait()
            await asyncio.sleep(0.3)
            assert rig.failed == []
            assert rig.stream.acknowledged == []

    asyncio.run(play())


@pytest.mark.parametrize("error", [Fatal("what it needs is gone"), KeyError(b"run|t|0|7")])
def test_a_run_that_was_stopped_meanwhile_does_not_fail(error: Exception) -> None:
    """Nor does it end the worker: its segments are removed while a close or a compaction is at work on them."""

    async def play() -> None:
        async def handle(partition: int, offset: int, header: Header, _: bytes) -> list[Awaitable[Any]]:
            rig.directory.gone(header.run)
            raise error

        rig = Rig(handle)
        async with rig:
            rig.give(event(0))
            assert await rig.acknowledged(1) == [0]
            assert rig.failed == []

    asyncio.run(play())


def test_what_stands_outside_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    async def handle(partition: int, offset: int, header: Header, _: bytes) -> list[Awaitable[Any]]:
        tries.append(offset)
        if len(tries) < 3:
            raise Retriable("the store is away")
        return []

    async def play() -> None:
        async with Rig(handle) as rig:
            rig.give(event(0), event(1))
            assert await rig.acknowledged(2) == [0, 1]
            assert tries == [0, 0, 0, 1]

    asyncio.run(play())


def test_a_message_of_nobody_is_left_out() -> None:
    """It belongs to no run that could be halted; ending the process would only read it again, for ever."""
    seen: list[int] = []

    async def handle(partition: int, offset: int, header: Header, _: bytes) -> list[Awaitable[Any]]:
        seen.append(offset)
        return []

    async def play() -> None:
        async with Rig(handle) as rig:
            rig.give(Event(Message(0, None)), Event(Message(1, [("kind", b"data")])), event(2))
            assert await rig.acknowledged(3) == [0, 1, 2]
            assert seen == [2]

    asyncio.run(play())


def test_partitions_that_move_do_not_hold_up_the_agent() -> None:
    """It may be waiting for a place in a queue that nobody empties any longer."""
    blocked: list[int] = []

    async def handle(partition: int, offset: int, header: Header, _: bytes) -> list[Awaitable[Any]]:
        if not blocked:
            blocked.append(offset)
            await asyncio.sleep(60)
        return []

    async def play() -> None:
        async with Rig(handle) as rig:
            rig.give(*map(event, range(QUEUE + 4)))
            await asyncio.sleep(0.05)
            rig.stage.drop({0})
            rig.consumer.due[TOPIC, 0] = 0
            while not rig.stream.events_.empty():
                rig.stream.events_.get_nowait()
            rig.give(*map(event, range(3)))
            assert (await rig.acknowledged(3))[-3:] == [0, 1, 2]

    asyncio.run(play())


def test_an_unforeseen_error_of_a_core_tells_no_value() -> None:
    def core() -> None:
        raise ValueError("secret-4711")

    with ThreadPoolExecutor(1) as pool, pytest.raises(Fatal) as caught:
        asyncio.run(in_pool(pool, core))
    assert "secret" not in str(caught.value)
    assert "ValueError" in str(caught.value)


def test_an_unforeseen_error_of_a_stage_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setattr(pipeline, "end_process", lambda reason, error=None: ended.append(reason))

    async def handle(partition: int, offset: int, header: Header, _: bytes) -> list[Awaitable[Any]]:
        raise OSError("no space")

    async def play() -> None:
        async with Rig(handle) as rig:
            rig.give(event(0))
            await soon(lambda: bool(ended))
            assert rig.stream.acknowledged == []

    asyncio.run(play())
    assert "partition 0" in ended[0]


def test_what_needs_no_order_begins_one_batch_ahead_and_the_rest_stays_in_order() -> None:
    at_work: list[int] = []
    most: list[int] = []
    handled: list[tuple[int, Any]] = []

    async def ahead(header: Header, _: bytes) -> str:
        at_work.append(header.sequence)
        most.append(len(at_work))
        await asyncio.sleep(0.02 if header.sequence % 2 else 0.001)
        at_work.remove(header.sequence)
        return f"made of {header.sequence}"

    async def handle(partition: int, offset: int, header: Header, payload: bytes, begun: Any = None) -> list[Any]:
        made = await begun if begun else await ahead(header, payload)
        await asyncio.sleep(0.001 if offset % 2 else 0.02)
        handled.append((offset, made))
        return []

    async def play() -> None:
        async with Rig(handle, ahead) as rig:
            rig.give(*map(event, range(6)))
            assert await rig.acknowledged(6) == list(range(6))

    asyncio.run(play())
    assert handled == [(offset, f"made of {offset}") for offset in range(6)]
    assert max(most) == 2  # the one whose turn it is and the next one, no more


def test_what_failed_ahead_of_its_turn_is_done_again_in_its_turn() -> None:
    """A store that was away, or a message of nobody: neither stops the batch before it."""
    asked: list[int] = []

    async def ahead(header: Header, _: bytes) -> str:
        asked.append(header.sequence)
        raise Retriable("the store is away")

    async def handle(partition: int, offset: int, header: Header, payload: bytes, begun: Any = None) -> list[Any]:
        if begun:
            await begun
        elif offset == 0:
            await asyncio.sleep(0.02)
        return []

    async def play() -> None:
        async with Rig(handle, ahead) as rig:
            rig.give(event(0), Event(Message(1, [("kind", b"?")])), event(2), event(3))
            assert await rig.acknowledged(4) == [0, 1, 2, 3]
            assert rig.failed == []

    asyncio.run(play())
    assert asked


def test_what_began_ahead_ends_when_its_partition_moves() -> None:
    ended: list[int] = []
    started: list[int] = []

    async def ahead(header: Header, _: bytes) -> None:
        started.append(header.sequence)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(header.sequence)

    async def handle(partition: int, offset: int, header: Header, _: bytes, begun: Any = None) -> list[Any]:
        await asyncio.sleep(60)
        return []

    async def play() -> None:
        async with Rig(handle, ahead) as rig:
            rig.give(*map(event, range(3)))
            await soon(lambda: bool(started))
            rig.stage.drop({0})
            await soon(lambda: ended == started == [1])

    asyncio.run(play())
