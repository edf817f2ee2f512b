"""What has come is handed on at once, however little it is; what has piled up comes together."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from connectors.review import reader as module
from connectors.review.inbox import Inbox
from connectors.review.reader import Reader
from connectors.review.writer import Health
from schemas.headers import Header, encode

PLACE = ("metal.outbox", 0)


class Raw:
    """A message as librdkafka gives it, and when it comes."""

    def __init__(self, offset: int, at: float) -> None:
        self._offset, self.at = offset, at

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return PLACE[0]

    def partition(self) -> int:
        return PLACE[1]

    def offset(self) -> int:
        return self._offset

    def headers(self) -> Any:
        return encode(Header("data", "t", "r", "person", "merge/0", 0, self._offset, 0, 1))

    def value(self) -> bytes:
        return b"x"

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000


class Consumer:
    """librdkafka's consumer on a clock of its own: it comes back with as many as were asked for, or when time is up."""

    coming: deque[Raw]
    clock: float

    def __init__(self, settings: dict[str, Any]) -> None:
        self.asked = 0

    def consume(self, number: int, timeout: float) -> list[Raw]:
        self.asked += 1
        found: list[Raw] = []
        until = Consumer.clock + timeout
        while len(found) < number and self.coming and self.coming[0].at <= until:
            found.append(self.coming.popleft())
            Consumer.clock = max(Consumer.clock, found[-1].at)
        if len(found) < number:
            Consumer.clock = until
        return found

    def assignment(self) -> list[Any]:
        return []


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Inbox:
    monkeypatch.setattr(module, "Consumer", Consumer)
    found = Inbox(1 << 20)
    found.place(PLACE, 0, 0)
    Consumer.clock = 0.0
    return found


def stepping(inbox: Inbox, coming: list[Raw]) -> Reader:
    Consumer.coming = deque(coming)
    reader = Reader({}, "", inbox, Health())
    reader._next_report = float("inf")  # it would ask the broker how far behind we are
    return reader


def test_a_message_that_comes_alone_is_handed_on_when_it_comes(inbox: Inbox) -> None:
    reader = stepping(inbox, [Raw(0, 0.013), Raw(1, 0.090)])
    handed = []
    while inbox.positions() and Consumer.coming:
        reader.step()
        taken = inbox.take(0)
        if taken is not None:
            handed.append((Consumer.clock, [message.offset for message in taken[1].messages]))
            inbox.stored(*taken)
    assert handed == [(0.013, [0]), (0.090, [1])]


def test_what_has_piled_up_is_taken_together(inbox: Inbox) -> None:
    reader = stepping(inbox, [Raw(offset, 0.0) for offset in range(50)])
    reader.step()
    taken = inbox.take(0)
    assert taken is not None
    assert [message.offset for message in taken[1].messages] == list(range(50))
    assert Consumer.clock == 0.0


def test_an_idle_topic_is_waited_for_without_spinning(inbox: Inbox) -> None:
    reader = stepping(inbox, [])
    for _ in range(10):
        reader.step()
    assert Consumer.clock >= 0.5
