"""What has been read and not yet stored: for each partition its messages in order, and where it stands.

What always holds: a partition's messages are offered without a gap, one chunk of it is out at a time, and the bytes
held are bounded, because the reader stops while `full`. A partition that is `adrift` takes nothing until the reader
has placed it again. All methods may be called from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from connectors.review.messages import Chunk, Message, Place

CHUNK_ROWS = 200_000
CHUNK_BYTES = 64 * 1024 * 1024
CHUNK_MESSAGES = 2_000


@dataclass(eq=False)
class Partition:
    """`known`: what metal.consumed said. `following`: the offset that comes next from Kafka."""

    place: Place
    known: int
    following: int
    adrift: bool = False
    busy: bool = False
    messages: deque[Message] = field(default_factory=deque)


class Inbox:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0  # bytes, until they are stored
        self._partitions: dict[Place, Partition] = {}
        self._changed = threading.Condition()

    def place(self, place: Place, known: int, following: int) -> None:
        """Begins (again) to take messages of a partition; what was held of it is forgotten."""
        with self._changed:
            self._forget(self._partitions.get(place))
            self._partitions[place] = Partition(place, known, following)

    def remove(self, places: Iterable[Place]) -> None:
        with self._changed:
            for place in places:
                self._forget(self._partitions.pop(place, None))

    def offer(self, place: Place, message: Message) -> None:
        with self._changed:
            partition = self._partitions.get(place)
            if partition is None or partition.adrift or message.offset < partition.following:
                return
            if message.offset > partition.following:  # offsets are dense: a hole means that something was trimmed
                self._set_adrift(partition)
                return
            partition.messages.append(message)
            partition.following += 1
            self._held += len(message.value)
            self._changed.notify()

    def take(self, timeout: float) -> tuple[Partition, Chunk] | None:
        """The next chunk of the partition that has waited longest."""
        with self._changed:
            self._changed.wait_for(lambda: self._next() is not None, timeout)
            partition = self._next()
            if partition is None:
                return None
            partition.busy = True
            return partition, Chunk(partition.place, partition.known, self._drawn(partition))

    def stored(self, partition: Partition, chunk: Chunk) -> None:
        self._free(partition, chunk, chunk.following)

    def drift(self, partition: Partition, chunk: Chunk) -> None:
        """The chunk does not count any more: the reader has to place the partition again."""
        with self._changed:
            self._set_adrift(partition)
        self._free(partition, chunk, partition.known)

    def adrift(self) -> list[Place]:
        with self._changed:
            return [p.place for p in self._partitions.values() if p.adrift and not p.busy]

    def positions(self) -> dict[Place, int]:
        """What is stored of each partition."""
        with self._changed:
            return {place: p.known for place, p in self._partitions.items()}

    @property
    def full(self) -> bool:
        return self._held >= self.limit

    @property
    def held(self) -> int:
        return self._held

    def oldest(self) -> float | None:
        """When the broker took the oldest message that waits here."""
        with self._changed:
            return min((p.messages[0].at for p in self._partitions.values() if p.messages), default=None)

    def _next(self) -> Partition | None:
        ready = [p for p in self._partitions.values() if p.messages and not p.busy and not p.adrift]
        return min(ready, key=lambda p: p.messages[0].at) if ready else None

    def _drawn(self, partition: Partition) -> list[Message]:
        drawn: list[Message] = []
        rows = size = 0
        while partition.messages and len(drawn) < CHUNK_MESSAGES:
            message = partition.messages[0]
            rows += message.header.rows if message.header else 0
            size += len(message.value)
            if drawn and (rows > CHUNK_ROWS or size > CHUNK_BYTES):
                break
            drawn.append(partition.messages.popleft())
        return drawn

    def _free(self, partition: Partition, chunk: Chunk, known: int) -> None:
        with self._changed:
            partition.known = known
            partition.busy = False
            self._held -= chunk.size
            self._changed.notify()

    def _set_adrift(self, partition: Partition) -> None:
        self._forget(partition)
        partition.adrift = True

    def _forget(self, partition: Partition | None) -> None:
        if partition is not None:
            self._held -= sum(len(message.value) for message in partition.messages)
            partition.messages.clear()
