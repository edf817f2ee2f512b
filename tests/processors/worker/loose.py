"""The strict consumer without a broker: what is fetched and where it seeks to is told by the test."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, cast

from faust.types import TP

from processors.worker.delivery import StrictConsumer

PLACE = TP("metal.cleansed", 3)


@dataclass(frozen=True)
class Message:
    offset: int
    topic: str = PLACE.topic
    partition: int = PLACE.partition


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
