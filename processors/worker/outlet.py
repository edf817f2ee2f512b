"""Sends batches with Faust's producer. What is returned is done when the broker has the batch.

What always holds: behind a batch that could not be delivered none of this process is delivered. A receiver takes a
number it has not seen for new and all below it for known, so a hole would be lost for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from processors.worker import metrics
from processors.worker.pipeline import end_process
from schemas import headers


def end_on_failure(sent: Any) -> None:
    """Ends the process as soon as a delivery has failed, before the producer goes on to the next."""

    def look(done: asyncio.Future[Any]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            end_process("a message could not be delivered", error)

    asyncio.ensure_future(sent).add_done_callback(look)


class Outlet:
    def __init__(self, app: Any, partitions: int) -> None:
        self._app = app
        self.partitions = partitions  # of every stage topic

    async def send(self, topic: str, partition: int, header: headers.Header, payload: bytes) -> Awaitable[Any]:
        metrics.worked()
        sent: Awaitable[Any] = await self._app.producer.send(
            topic, header.run.encode(), payload, partition, None, headers.encode(header)
        )
        end_on_failure(sent)
        return sent

    async def send_plain(self, topic: str, partition: int, key: bytes, payload: bytes) -> Awaitable[Any]:
        sent: Awaitable[Any] = await self._app.producer.send(topic, key, payload, partition, None, None)
        end_on_failure(sent)
        return sent
