"""A Faust table whose entries are segments. A write is durable in the changelog before it is local."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, cast

import faust
from faust.tables.table import Table
from faust.types import TP

from processors.worker.ending import end_process
from processors.worker.producer import MESSAGE, too_large
from processors.worker.store import SegmentStore
from schemas import topics
from schemas.errors import Fatal

PATIENCE = 20.0  # seconds for what is on its way; the group waits for 30 until a member has joined it again


class SegmentTable(Table[bytes, bytes]):
    """Keys and values are bytes; the partition is always said, never derived from a key."""

    def __init__(self, app: faust.App, *, folder: Path, **kwargs: Any) -> None:
        self._folder = folder
        self._orders: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._writes: set[asyncio.Future[None]] = set()  # that have not come to their end
        super().__init__(app, key_type=bytes, value_type=bytes, recovery_buffer_size=4, **kwargs)

    def _new_store(self) -> SegmentStore:
        return SegmentStore("segments://", self.app, self, folder=self._folder, loop=self.loop)

    @property
    def store(self) -> SegmentStore:
        return cast(SegmentStore, self.data)

    def put(self, partition: int, key: bytes, value: bytes) -> Awaitable[None]:
        """Done when the changelog has it and the local file stands.

        Enforces: what was begun is ended, in order, also where nobody waits for it any more. An entry says what all
        before it have taken in: if one were left out because its stage's work is dropped, before it is sent or before
        its file stands, and the next one were not, its rows would be taken for known and be missing for good.
        """
        if (size := len(key) + len(value)) > topics.MAX_MESSAGE - MESSAGE:
            # Here, where it halts the run and nothing is behind it yet.
            raise too_large(self.changelog_topic_name, size)
        write = asyncio.ensure_future(self._put(partition, key, value))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        waited = asyncio.shield(write)
        for one in (write, waited):  # they may be left, unasked
            one.add_done_callback(lambda done: done.cancelled() or done.exception())
        return waited

    async def _put(self, partition: int, key: bytes, value: bytes) -> None:
        try:
            record = await (await self._send(partition, key, value))
            # Enforces: files come to stand in the changelog's order, so the offset beside them is never ahead of one.
            async with self._orders[partition]:
                await asyncio.to_thread(self.store.put, partition, key, value)
                self.store.wrote(TP(self.changelog_topic_name, partition), record.offset)
        except (OSError, Fatal) as error:  # nobody may ask for it, and the next one must not stand without it
            end_process("the local state can't be written", error)

    async def settled(self) -> None:
        """Nothing is on its way any more. Enforces: no state is read anew while what belongs to it is still written."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self._writes:
                    await asyncio.wait(self._writes)
        except TimeoutError:
            number = len(self._writes)
            end_process(f"{number} entries have not come to stand in {PATIENCE:.0f} s, and partitions move")

    async def _send(self, partition: int, key: bytes, value: bytes | None) -> Any:
        # Enforces: entries stand in the log in the order of their inputs, or progress could be there without its rows.
        return await self.app.producer.send(self.changelog_topic_name, key, value, partition, None, None)

    async def remove(self, partition: int, keys: list[bytes]) -> None:
        """Tombstones only let compaction reclaim; nothing depends on when they come."""
        offsets = []
        for key in keys:
            offsets.append(await self._send(partition, key, None))
        for key, sent in zip(keys, offsets, strict=True):
            record = await sent
            async with self._orders[partition]:
                self.store.remove(partition, key)
                self.store.wrote(TP(self.changelog_topic_name, partition), record.offset)
