"""The two filters by themselves, and that Faust is still what they mend: a change above must show here first."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.worker.delivery import WAIT_MS, StrictConsumer, StrictThread, StrictTransport, ordered
from processors.worker.producer import BulkProducer
from tests.processors.worker.loose import PLACE, Log, Loose, Message

KEY = (PLACE.topic, PLACE.partition)


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


def test_work_ends_before_anything_of_a_rebalance_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it goes on with a state that is given away or read anew under it."""
    told: list[str] = []

    async def theirs(*_: Any) -> None:
        told.append("Faust's part")

    async def revoked() -> None:
        await asyncio.sleep(0)  # what is on its way comes to its end
        told.append("dropped")

    async def play() -> None:
        consumer = Loose(Log(1), 0)
        consumer.app = cast(Any, SimpleNamespace(revoked=revoked))
        await consumer.perform_seek()
        await consumer.on_partitions_revoked({PLACE})
        assert KEY not in consumer.due
        await consumer.fetch()
        assert consumer.handed == []

    monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", theirs)
    asyncio.run(play())
    assert told == ["dropped", "Faust's part"]


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


def test_a_fetch_waits_as_long_as_we_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust has no setting for it, and aiokafka takes it when the consumer starts."""
    assert "fetch_max_wait_ms=1500" in inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.start)
    made = SimpleNamespace(_fetch_max_wait_ms=1500)
    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_create_worker_consumer", lambda *_: made)
    consumer = object.__new__(StrictThread)._create_worker_consumer(None)
    assert consumer._fetch_max_wait_ms == WAIT_MS


def test_the_transport_is_made_of_ours() -> None:
    assert StrictTransport.Consumer is StrictConsumer
    assert StrictTransport.Producer is BulkProducer
    assert "self.Consumer(" in inspect.getsource(driver.Transport.create_consumer)
    assert "self.Producer(" in inspect.getsource(driver.Transport.create_producer)
