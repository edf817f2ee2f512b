"""Sends batches with Faust's producer. What is returned is done when the broker has the batch."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from processors.worker import metrics
from schemas import headers


class Outlet:
    def __init__(self, app: Any, partitions: int) -> None:
        self._app = app
        self.partitions = partitions  # of every stage topic

    async def send(self, topic: str, partition: int, header: headers.Header, payload: bytes) -> Awaitable[Any]:
        metrics.worked()
        sent: Awaitable[Any] = await self._app.producer.send(
            topic, header.run.encode(), payload, partition, None, headers.encode(header)
        )
        return sent

    async def send_plain(self, topic: str, partition: int, key: bytes, payload: bytes) -> Awaitable[Any]:
        sent: Awaitable[Any] = await self._app.producer.send(topic, key, payload, partition, None, None)
        return sent
