"""The two filters by themselves, and that Faust is still what they mend: a change above must show here first."""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.worker.delivery import IdempotentProducer, StrictConsumer, StrictThread, StrictTransport, ordered

PLACE = TP("metal.cleansed", 3)
KEY = ("metal.cleansed", 3)


@dataclass(frozen=True)
class Message:
    offset: int
    topic: str = PLACE.topic
    partition: int = PLACE.partition


@dataclass(frozen=True)
class Event:
    message: Message


@dataclass
class Stream:
    """Gives events as Faust's stream does, in whatever order the queue of an agent has them."""

    offsets: list[int]
    acknowledged: list[int] = field(default_factory=list)

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Event]:
        for offset in self.offsets:
            yield Event(Message(offset))

    async def ack(self, event: Event) -> None:
        self.acknowledged.append(event.message.offset)


@dataclass
class Rewinding:
    """A consumer's part that `ordered` sees."""

    due: dict[tuple[str, int], int | None]
    asked: list[int] = field(default_factory=list)

    async def rewind(self, tp: TP, offset: int) -> None:
        assert tp == PLACE
        self.asked.append(offset)


@dataclass
class App:
    consumer: Rewinding


async def passed(stream: Stream, consumer: Rewinding) -> list[int]:
    return [event.message.offset async for event in ordered(cast(Any, App(consumer)), stream)]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5), st.lists(st.integers(0, 12), max_size=40))
def test_an_agent_sees_every_offset_once_and_in_order(start: int, offsets: list[int]) -> None:
    stream, consumer = Stream(offsets), Rewinding({KEY: start})
    seen = asyncio.run(passed(stream, consumer))
    assert seen == list(range(start, start + len(seen)))
    ahead = [offset for i, offset in enumerate(offsets) if offset > _due(start, offsets[:i])]
    assert len(consumer.asked) == len(ahead)  # each hole is answered by asking for what is due


def _due(start: int, offsets: list[int]) -> int:
    for offset in offsets:
        start += offset == start
    return start


def test_what_comes_again_is_not_acknowledged_while_the_first_is_at_work() -> None:
    """Its acknowledgement would stand for the first delivery, whose outcome is not durable yet."""
    stream, consumer = Stream([5, 6, 5, 6, 7]), Rewinding({KEY: 5})
    assert asyncio.run(passed(stream, consumer)) == [5, 6, 7]
    assert stream.acknowledged == []


def test_nothing_of_a_partition_that_moved_is_let_through() -> None:
    assert asyncio.run(passed(Stream([5, 6]), Rewinding({}))) == []


class Log:
    """A partition of the broker, and the position that a client has in it."""

    def __init__(self, end: int, first: int = 0) -> None:
        self.end, self.first, self.position = end, first, 0


class Loose(StrictConsumer):
    """The drain loop's filter without a broker: what is fetched and where it seeks to is told by the test."""

    def __init__(self, log: Log, committed: int | None) -> None:
        self.expected, self.due, self.holes = {}, {}, 0
        self.seeks = defaultdict(int)
        self._committed_offset, self._read_offset = cast(Any, {}), cast(Any, {})
        self.suspend_flow = cast(Any, asyncio.Event())
        self.handed: list[int] = []
        self.log_, self.committed = log, committed
        self.callback = cast(Any, self._take)

    async def _take(self, message: Message) -> None:
        self.handed.append(message.offset)

    def _is_changelog_tp(self, tp: TP) -> bool:
        return False

    def assignment(self) -> set[TP]:
        return {PLACE}

    async def seek_to_committed(self) -> dict[TP, int]:
        if self.committed is not None:
            self.log_.position = self.committed
        return {PLACE: -1 if self.committed is None else self.committed}

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        return dict.fromkeys(partitions, self.log_.first)

    async def _seek(self, partition: TP, offset: int) -> None:
        self.log_.position = offset

    async def fetch(self) -> None:
        """What the drain loop does with one fetched message."""
        self.log_.position = max(self.log_.position, self.log_.first)
        if self.log_.position < self.log_.end:
            self.log_.position += 1
            await self._hand_over(PLACE, Message(self.log_.position - 1))


@settings(max_examples=150, deadline=None)
@given(st.none() | st.integers(0, 8), st.lists(st.sampled_from(["fetch", "skip", "seek", "stale"]), max_size=40))
def test_what_is_handed_over_never_has_a_hole_and_reaches_the_end(committed: int | None, steps: list[str]) -> None:
    async def play() -> None:
        consumer = Loose(Log(10), committed)
        await consumer.perform_seek()
        runs: list[list[int]] = []
        for step in steps:
            if step == "fetch":
                await consumer.fetch()
            elif step == "skip":  # Faust lets a fetched message fall
                consumer.log_.position = min(consumer.log_.position + 1, 10)
            elif step == "stale":  # a message of before the seek is still in the loop's hands
                await consumer._hand_over(PLACE, Message(0))
            else:
                runs.append(consumer.handed)
                consumer.handed = []
                await consumer.perform_seek()
        consumer.log_.end = 11  # a hole at the very end shows with the next message
        for _ in range(40):
            await consumer.fetch()
        for handed in [*runs, consumer.handed]:
            assert handed == list(range(committed or 0, (committed or 0) + len(handed)))
        assert consumer.handed[-1] == 10

    asyncio.run(play())


def test_a_hand_over_that_a_seek_overtakes_does_not_move_on() -> None:
    """Else the message, which belongs to an assignment that is over, would be left out if it was the last."""

    async def play() -> list[int]:
        consumer = Loose(Log(1), 0)
        await consumer.perform_seek()

        async def overtaken(message: Message) -> None:
            await consumer.perform_seek()

        consumer.callback = cast(Any, overtaken)
        await consumer.fetch()
        consumer.callback = cast(Any, consumer._take)
        await consumer.fetch()
        return consumer.handed

    assert asyncio.run(play()) == [0]


def test_what_is_fetched_before_the_first_seek_comes_again() -> None:
    async def play() -> list[int]:
        consumer = Loose(Log(1), 0)
        await consumer.fetch()
        await consumer.perform_seek()
        await consumer.fetch()
        return consumer.handed

    assert asyncio.run(play()) == [0]


def test_a_log_that_was_trimmed_is_gone_on_with_where_it_begins() -> None:
    async def play() -> Loose:
        consumer = Loose(Log(9, first=6), 2)
        await consumer.perform_seek()
        for _ in range(5):
            await consumer.fetch()
        return consumer

    consumer = asyncio.run(play())
    assert consumer.handed == [6, 7, 8]
    assert consumer.due[KEY] == 6
    assert consumer._committed_offset[PLACE] == 6  # else the missing offsets hold up every later commit


# Changelogs: they are compacted, so what is missing can't be seen in the offsets.


CHANGES = TP("metal-merge-state-changelog", 3)


class Client:
    """What the thread asks of aiokafka's consumer."""

    def __init__(self, log: list[int]) -> None:
        self.log, self.position = log, 0
        self._fetcher = type("Fetcher", (), {"_records": OrderedDict[TP, Any]()})()

    def assignment(self) -> set[TP]:
        return {CHANGES}

    def seek(self, tp: TP, offset: int) -> None:
        self.position = offset

    def poll(self) -> dict[TP, list[Message]]:
        found = [Message(offset, CHANGES.topic) for offset in self.log if offset >= self.position][:2]
        if found:
            self.position = found[-1].offset + 1
        return {CHANGES: found} if found else {}


class Polling(StrictThread):
    """The thread without its thread: a poll is answered at once."""

    def __init__(self, consumer: Any, client: Client) -> None:
        self.consumer, self.client = consumer, client
        self.sought, self.polled = defaultdict(int), {}

    async def poll(self, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
        async def fetch(*_: Any) -> dict[TP, list[Message]]:
            return self.client.poll()

        with monkeypatch.context() as patched:
            patched.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
            found = await self._fetch_records(self.client)
        return [message for some in found.values() for message in some]

    def recover(self, offset: int) -> None:
        self.sought[CHANGES] += 1
        self.client.seek(CHANGES, offset)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    log=st.lists(st.integers(0, 30), unique=True, min_size=1).map(sorted),
    steps=st.lists(st.sampled_from(["poll", "late poll", "hand", "suspended", "recover"]), max_size=40),
)
def test_recovery_gets_a_changelog_without_a_hole(
    log: list[int], steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is polled while the flow stands still, overtaken by a seek or suspended on its way."""

    async def play() -> None:
        consumer = Loose(Log(0), 0)
        consumer.missed = {}
        consumer.flow_active = True
        thread = Polling(consumer, Client(log))
        consumer._thread = cast(Any, thread)
        held: list[Message] = []

        async def settle() -> None:
            consumer.suspend_flow.clear()
            consumer.callback = cast(Any, consumer._take)
            while held:
                await consumer._restore(CHANGES, held.pop(0))

        async def never(_: Message) -> None:
            await asyncio.Event().wait()

        def seen() -> int:
            return consumer.handed[-1] + 1 if consumer.handed else 0

        for step in steps:
            if step == "poll" and not held:
                held += await thread.poll(monkeypatch)
            elif step == "late poll" and not held:
                consumer.flow_active = False
                await thread.poll(monkeypatch)  # Faust drops whatever it gives
                consumer.flow_active = True
            elif step == "hand" and held:
                await consumer._restore(CHANGES, held.pop(0))
            elif step == "suspended" and held:  # a rebalance: recovery seeks to what it has
                consumer.suspend_flow.set()
                consumer.callback = cast(Any, never)
                await consumer._restore(CHANGES, held.pop(0))
                thread.recover(seen())
                await settle()
            elif step == "recover":
                thread.recover(seen())
        await settle()
        thread.recover(seen())
        while found := await thread.poll(monkeypatch):
            held += found
            await settle()
        assert consumer.handed == log

    asyncio.run(play())


def test_faust_still_drops_what_is_polled_while_the_flow_stands_still() -> None:
    text = inspect.getsource(faust_consumer.Consumer.getmany)
    assert "getmany called while flow not active" in text


@pytest.mark.parametrize("name", ["_fetch_records", "_seek_wait"])
def test_faust_still_has_what_the_thread_replaces(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(driver.AIOKafkaConsumerThread, name))
    calls = inspect.getsource(driver.AIOKafkaConsumerThread)
    assert f"self.{name}" in calls


# What is mended must still be what Faust calls.


@pytest.mark.parametrize(
    "name", ["_drain_messages", "perform_seek", "_seek", "seek_to_committed", "earliest_offsets", "_is_changelog_tp"]
)
def test_faust_still_has_what_the_consumer_replaces_or_calls(name: str) -> None:
    ours, theirs = getattr(StrictConsumer, name), getattr(driver.Consumer, name)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


def test_the_fetcher_still_calls_the_drain_loop_of_the_consumer() -> None:
    assert "consumer._drain_messages(self)" in inspect.getsource(faust_consumer.Fetcher)


def test_the_drain_loop_still_takes_holes_for_compaction() -> None:
    """When this is gone above, ours may go: holes in offsets were committed over."""
    assert "_add_gap" in inspect.getsource(driver.Consumer._drain_messages)


def test_acknowledged_offsets_are_still_counted_by_offset() -> None:
    """`ordered` leaves a second delivery unacknowledged, relying on the first's."""
    assert "if offset not in acked_index" in inspect.getsource(driver.Consumer.ack)


def test_recovery_still_seeks_before_it_lets_messages_flow() -> None:
    from faust.tables.recovery import Recovery

    text = inspect.getsource(Recovery.on_recovery_completed)
    callbacks, seek, resume = (
        text.index(what) for what in ("on_recovery_completed(\n", "perform_seek()", "resume_flow()")
    )
    assert callbacks < seek < resume


def test_faust_still_gives_no_idempotent_producer() -> None:
    source = inspect.getsource(driver.Producer._new_producer)
    assert "self._settings_extra()" in source
    assert "in_transaction" in inspect.getsource(driver.Producer._settings_extra)
    assert IdempotentProducer._settings_extra(cast(Any, None)) == {"acks": "all", "enable_idempotence": True}


def test_the_transport_is_made_of_ours() -> None:
    assert StrictTransport.Consumer is StrictConsumer
    assert StrictTransport.Producer is IdempotentProducer
    assert "self.Consumer(" in inspect.getsource(driver.Transport.create_consumer)
    assert "self.Producer(" in inspect.getsource(driver.Transport.create_producer)
