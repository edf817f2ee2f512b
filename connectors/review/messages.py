"""What the writer takes from Kafka: messages, and the chunks of one partition that one transaction stores."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.headers import Header

Place = tuple[str, int]  # topic and partition


@dataclass(frozen=True, slots=True)
class Message:
    offset: int
    value: bytes
    header: Header | None  # None: a message of metal.deadletter, which needs no header
    at: float  # when the broker took it, seconds


@dataclass(frozen=True)
class Chunk:
    """Messages of one partition without a gap. `known` is what metal.consumed must still say for them to count."""

    place: Place
    known: int
    messages: list[Message]

    @property
    def following(self) -> int:
        return self.messages[-1].offset + 1

    @property
    def rows(self) -> int:
        return sum(message.header.rows for message in self.messages if message.header)

    @property
    def size(self) -> int:
        return sum(len(message.value) for message in self.messages)


class Stale(Exception):
    """Someone else has moved this partition on, or the store has gone back: what is held of it no longer counts."""


class Held(Exception):
    """Another writer has been at work on this partition for longer than one transaction takes."""


class RunFails(Exception):
    """A run's batches cannot be stored, whatever is tried; the reason carries no value of a record."""

    def __init__(self, run: str, reason: str) -> None:
        super().__init__(reason)
        self.run = run
        self.reason = reason
