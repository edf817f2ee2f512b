"""Delivery without holes: the one place that mends what Faust's consumer does to fetched messages.

What always holds here: of a stage topic's partition, an agent sees every offset from the committed one on, strictly
in order, each at least once. Stage topics are neither compacted nor transactional, so a hole in the offsets is an
error and is answered by seeking back. Changelog topics are compacted, so a hole in them can't be told from what is
gone: whatever was read of them is handed over in order, or read again. See docs/adr/0004.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, ClassVar, cast

import faust
import structlog
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from processors.worker import frames
from processors.worker.ending import end_process
from processors.worker.producer import BulkProducer

log = structlog.get_logger()

Key = tuple[str, int]

# Of a fetch, for something to come. Partitions whose messages lie here are left out of it, and have to wait for its end
# once these are taken: Faust's second and a half is a pause of everything where the others are at their end.
WAIT_MS = 200


class StrictThread(driver.AIOKafkaConsumerThread):
    """Polls the partitions in turn, where aiokafka empties one first, and knows which poll a seek has overtaken."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sought: defaultdict[TP, int] = defaultdict(int)  # how often recovery has sought
        self.polled: dict[TP, int] = {}  # the same when the last poll returned

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = WAIT_MS
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        records = await super()._fetch_records(consumer, *args, **kwargs)
        if not self.consumer.flow_active:
            # Enforces: Faust drops what a poll gives now, also where recovery has sought already. It is read again.
            for tp, some in records.items():
                if tp in consumer.assignment():
                    consumer.seek(tp, some[0].offset)
            return {}
        fetched = consumer._fetcher._records
        for tp in records:
            if tp in fetched:  # more of it is left: the others come first
                fetched.move_to_end(tp)
        self.polled = {tp: self.sought[tp] for tp in records}
        return records

    async def _seek_wait(self, consumer: Any, partitions: Any) -> None:
        for tp in partitions:  # no poll returns between this and the seek
            self.sought[tp] += 1
        await super()._seek_wait(consumer, partitions)


class StrictConsumer(driver.Consumer):
    """Hands a partition's messages over without a hole, and knows where an agent has to go on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected: dict[TP, int | None] = {}  # next offset the drain loop may hand over
        self.due: dict[Key, int | None] = {}  # next offset an agent may process
        self.seeks: defaultdict[TP, int] = defaultdict(int)  # so that a slow hand-over notices that it is stale
        self.missed: dict[TP, int] = {}  # changelogs of which something was not handed over since a seek
        self.holes = 0

    def _new_consumer_thread(self) -> StrictThread:
        frames.install()
        return StrictThread(self, loop=self.loop, beacon=self.beacon)

    def _stage(self, tp: TP) -> bool:
        return not self._is_changelog_tp(tp)

    async def perform_seek(self) -> None:
        committed = await self.seek_to_committed()
        unknown = [tp for tp, offset in committed.items() if self._stage(tp) and (offset is None or offset < 0)]
        first = dict(await self.earliest_offsets(*unknown)) if unknown else {}
        for tp, offset in committed.items():
            start = offset if offset is not None and offset >= 0 else None
            self._committed_offset[tp] = start or None
            self._read_offset[tp] = start
            if self._stage(tp):
                start = first.get(tp) or 0 if start is None else start
                self.due[tp.topic, tp.partition] = start
                # Once more: what was fetched since the first seek was handed to nobody, and may be the last there is.
                await self._position(tp, start)

    async def _position(self, tp: TP, offset: int) -> None:
        self.seeks[tp] += 1
        self.expected[tp] = offset
        await self._seek(tp, offset)

    async def rewind(self, tp: TP, offset: int) -> None:
        """Back to `offset`, or to where the log begins by now: what was trimmed belongs to no open run."""
        first = (await self.earliest_offsets(tp)).get(tp) or 0
        if tp not in self.expected or tp not in self.assignment():
            return  # moved while we asked: whoever has it now starts from what was acknowledged
        if first > offset:
            log.warning(
                "the log begins behind the offset that is due",
                topic=tp.topic,
                partition=tp.partition,
                due=offset,
                first=first,
            )
            offset = first
            self.due[tp.topic, tp.partition] = first
            self._committed_offset[tp] = first  # else what is missing would hold up every later commit
        self.holes += 1
        await self._position(tp, offset)

    async def _drain_messages(self, fetcher: Any) -> None:
        while not (self._stopped.is_set() or fetcher._stopped.is_set()):
            await self.sleep(0)
            async for tp, message in self.getmany(timeout=1.0):
                if self._stage(tp):
                    await self._hand_over(tp, message)
                else:
                    await self._restore(tp, message)

    async def _restore(self, tp: TP, message: Any) -> None:
        """Hands an entry of a changelog to the recovery, unless one before it was not: a seek follows then."""
        thread = cast(StrictThread, self._thread)
        at = thread.sought[tp]
        if thread.polled.get(tp) != at or self.missed.get(tp) == at:
            return
        if await self._given(message):
            self._read_offset[tp] = message.offset
        else:
            self.missed[tp] = at

    async def _hand_over(self, tp: TP, message: Any) -> None:
        want, at = self.expected.get(tp), self.seeks[tp]
        if want is None or message.offset < want:
            return  # before the first seek of an assignment, or behind: it was handed over, or is read again
        if message.offset > want:
            await self.rewind(tp, want)
            return
        if await self._given(message) and at == self.seeks[tp]:
            self.expected[tp] = message.offset + 1
            self._read_offset[tp] = message.offset

    async def _given(self, message: Any) -> bool:
        """False if the flow was suspended before somebody took the message."""
        handed = asyncio.ensure_future(self.callback(message))
        suspended = asyncio.ensure_future(self.suspend_flow.wait())
        try:
            await asyncio.wait({handed, suspended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            suspended.cancel()
        if not handed.done():
            handed.cancel()
            return False
        handed.result()
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        for tp in revoked:
            self.seeks[tp] += 1
            self.expected.pop(tp, None)
            self.due.pop((tp.topic, tp.partition), None)
        # Enforces: nothing is at work on a partition's state, or on its way there, once it may be read anew.
        try:
            await cast(Any, self.app).revoked()
        except Exception as error:  # aiokafka would join anyway
            end_process("the work on what is given back could not be ended", error)
        await super().on_partitions_revoked(revoked)


class StrictTransport(driver.Transport):
    Consumer: ClassVar[type[StrictConsumer]] = StrictConsumer
    Producer: ClassVar[type[BulkProducer]] = BulkProducer


async def ordered(app: faust.App, stream: Any) -> AsyncIterator[Any]:
    """What an agent iterates instead of its stream: events in order and without a hole, for it to acknowledge."""
    consumer = cast(StrictConsumer, app.consumer)
    async for event in stream.noack().events():
        message = event.message
        key = (message.topic, message.partition)
        want = consumer.due.get(key)
        if want is None:
            continue  # no longer ours: whoever has it now reads it again
        if message.offset < want:
            # Enforces: who got it first acknowledges it, once it is done with it; here it may still be at work.
            continue
        if message.offset > want:
            await consumer.rewind(TP(*key), want)
        else:
            consumer.due[key] = want + 1
            yield event
