"""Recovery reads a changelog without a hole. It is compacted, so what is missing can't be seen in the offsets."""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict, defaultdict
from typing import Any, cast

import pytest
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.worker.delivery import StrictThread
from tests.processors.worker.loose import Log, Loose, Message

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
