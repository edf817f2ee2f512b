"""A Faust table whose entries are segments. A write is durable in the changelog before it is local."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any, cast

import faust
from faust.tables.table import Table
from faust.types import TP

from processors.worker.store import SegmentStore


class SegmentTable(Table[bytes, bytes]):
    """Keys and values are bytes; the partition is always said, never derived from a key."""

    def __init__(self, app: faust.App, *, folder: Path, **kwargs: Any) -> None:
        self._folder = folder
        self._orders: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        super().__init__(app, key_type=bytes, value_type=bytes, recovery_buffer_size=4, **kwargs)

    def _new_store(self) -> SegmentStore:
        return SegmentStore("segments://", self.app, self, folder=self._folder, loop=self.loop)

    @property
    def store(self) -> SegmentStore:
        return cast(SegmentStore, self.data)

    async def put(self, partition: int, key: bytes, value: bytes) -> None:
        """Returns when the changelog has it and the local file stands."""
        record = await (await self._send(partition, key, value))
        # Enforces: files come to stand in the changelog's order, so the offset beside them never runs ahead of one.
        async with self._orders[partition]:
            await asyncio.to_thread(self.store.put, partition, key, value)
            self.store.wrote(TP(self.changelog_topic_name, partition), record.offset)

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
