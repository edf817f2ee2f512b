"""The state of a run on one partition, on a real broker: whoever opens it next finds what was durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import polars as pl
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from faust.types import TP

from deploy.stack import Endpoints
from processors.segments.format import build
from processors.worker.app import make_app
from processors.worker.directory import RunInfo
from processors.worker.run_part import RunPart, forget, stored_runs
from processors.worker.table import SegmentTable
from schemas.columns import HASH
from schemas.errors import Fatal

pytestmark = pytest.mark.stack

KEY = bytes(range(32))
PLAN: Any = SimpleNamespace(tables={"t": None})
INFO = RunInfo("run", "task", "continuous", 1, 1, PLAN, KEY)


@dataclass(frozen=True)
class Place:
    """A changelog of its own, and where its tables stand on disk."""

    stack: Endpoints
    name: str
    folder: Path

    @property
    def changelog(self) -> str:
        return f"{self.name}-state-changelog"

    @asynccontextmanager
    async def table(self, process: str) -> AsyncIterator[SegmentTable]:
        app = make_app(self.stack.kafka, self.folder / process, 10.0, self.name)
        table = SegmentTable(app, name="state", partitions=2, folder=self.folder / process / "state")
        app.tables.add(table)
        await app.producer.start()
        try:
            yield table
        finally:
            await app.producer.stop()

    def recover(self, table: SegmentTable) -> None:
        """What Faust's recovery does: everything behind the offset that stands on disk."""
        known = table.store.persisted_offset(TP(self.changelog, 1))
        consumer = Consumer({**self.stack.kafka.confluent(), "group.id": "test", "enable.auto.commit": False})
        place = TopicPartition(self.changelog, 1, 0 if known is None else known + 1)
        _, end = consumer.get_watermark_offsets(place, timeout=20)
        consumer.assign([place])
        at = place.offset
        while at < end:
            message = consumer.poll(10)
            assert message is not None
            assert not message.error()
            tp = TP(self.changelog, 1)
            told = SimpleNamespace(
                key=message.key(), value=message.value(), offset=message.offset(), partition=1, topic=tp.topic, tp=tp
            )
            table.store.apply_changelog_batch([SimpleNamespace(message=told)], lambda key: key, lambda value: value)
            at = (message.offset() or 0) + 1
        consumer.close()


@pytest.fixture
def place(stack: Endpoints, tmp_path: Path) -> Place:
    found = Place(stack, f"part-{uuid4().hex[:8]}", tmp_path)
    topic = NewTopic(found.changelog, 2, 1, config={"cleanup.policy": "compact", "max.message.bytes": str(16 << 20)})
    admin = AdminClient(stack.kafka.confluent())
    admin.create_topics([topic])[found.changelog].result(20)
    return found


def segment(*numbers: int) -> bytes:
    frame = pl.DataFrame({"n": list(numbers)}).with_columns(pl.col("n").hash(3).alias(HASH)).sort(HASH)
    return build(frame, KEY, 4)


def numbers(part: RunPart, after: int = -1, upto: int = 2**62) -> list[int]:
    frames = [frame for one in part.segments("t", after, upto) if (frame := one.all()) is not None]
    return sorted(n for frame in frames for n in frame["n"])


async def until(look: Callable[[], bool]) -> None:
    while not look():  # noqa: ASYNC110 - nothing tells when somebody waits for a lock
        await asyncio.sleep(0.01)


async def took(part: RunPart, offset: int, *rows: int) -> None:
    part.progress.applied = offset
    part.progress.seen["lane/0"] = [1, offset, -1]
    await (await part.append("t", offset, segment(*rows)))


async def closed(part: RunPart, offset: int) -> None:
    part.progress.applied = part.progress.boundary = offset
    part.progress.closes += 1
    await (await part.record(offset))
    await part.reclaim()
    await part.compact()


def test_the_next_owner_finds_what_was_durable(place: Place) -> None:
    async def play() -> None:
        async with place.table("a") as table:
            part = RunPart(1, INFO, table)
            assert part.progress.applied == -1
            for offset in range(3):
                await took(part, offset, offset * 2, offset * 2 + 1)
            await closed(part, 3)
            await took(part, 4, 100)
            for again in (RunPart(1, INFO, table), part):
                assert again.progress == part.progress
                assert numbers(again) == [0, 1, 2, 3, 4, 5, 100]
                assert numbers(again, after=3) == [100]
        async with place.table("a") as same, place.table("b") as other:
            for table in (same, other):
                place.recover(table)
                found = RunPart(1, INFO, table)
                assert found.progress == part.progress
                assert numbers(found) == [0, 1, 2, 3, 4, 5, 100]
            assert RunPart(0, INFO, other).progress.applied == -1

    asyncio.run(play())


def test_segments_are_merged_and_nothing_of_them_is_lost_or_doubled(place: Place) -> None:
    async def play() -> None:
        async with place.table("a") as table:
            part = RunPart(1, INFO, table)
            for offset in range(0, 40, 2):
                await took(part, offset, offset)
                await closed(part, offset + 1)
            assert len(part.segments("t")) < 12
            assert numbers(part) == list(range(0, 40, 2))
            kept = table.store.entries(1)
            assert len([key for key in kept if b"||" in key]) == 1  # of progress the newest alone
            again = RunPart(1, INFO, table)
            assert again.progress == part.progress
            assert numbers(again) == list(range(0, 40, 2))
        async with place.table("b") as other:
            place.recover(other)
            assert other.store.entries(1).keys() == kept.keys()

    asyncio.run(play())


def test_a_stale_owner_that_wakes_up_changes_nothing(place: Place) -> None:
    """It stood still before an epoch's merge; the next owner has closed several since."""

    async def play() -> None:
        async with place.table("stale") as old, place.table("new") as table:
            stale = RunPart(1, INFO, old)
            for offset in range(0, 20, 2):
                await took(stale, offset, offset)
                if offset < 14:
                    await closed(stale, offset + 1)
            place.recover(table)
            owner = RunPart(1, INFO, table)
            assert owner.progress == stale.progress
            for offset in range(20, 60, 2):
                await took(owner, offset, offset)
                await owner.compact()  # what an earlier owner may have left undone
                await closed(owner, offset + 1)
            stale.progress.boundary = stale.progress.applied
            await stale.compact()  # wakes up in the middle of it
            await took(stale, 20, 20)
        async with place.table("third") as third, place.table("stale") as back:
            for one in (third, back):  # also where the stale owner's own files stand
                place.recover(one)
                found = RunPart(1, INFO, one)
                assert numbers(found) == list(range(0, 60, 2))
                assert found.progress == owner.progress

    asyncio.run(play())


def test_what_is_left_of_a_run_goes(place: Place) -> None:
    async def play() -> None:
        async with place.table("a") as table:
            await took(RunPart(1, INFO, table), 0, 1)
            await took(RunPart(1, cast(Any, RunInfo("kept", "task", "snapshot", 1, 1, PLAN, KEY)), table), 1, 2)
            assert stored_runs(table, 1) == {"run", "kept"}
            await forget(table, 1, "run")
            assert stored_runs(table, 1) == {"kept"}
        async with place.table("b") as other:
            place.recover(other)
            assert stored_runs(other, 1) == {"kept"}

    asyncio.run(play())


@pytest.mark.parametrize("when", ["it is sent", "the log has it", "its file stands"])
def test_what_progress_says_stands_though_the_work_was_dropped(place: Place, when: str) -> None:
    """A partition moves before the first of two entries has got so far; the second counts it as taken in."""

    async def play() -> None:
        async with place.table("a") as table:
            part = RunPart(1, INFO, table)
            order = table._orders[1]
            if when == "its file stands":
                await order.acquire()

            async def work() -> None:
                writes = []
                for offset in range(2):
                    part.progress.applied = offset
                    writes.append(await part.append("t", offset, segment(offset)))
                await writes[0]

            dropped = asyncio.ensure_future(work())
            await asyncio.sleep(0)
            if when == "the log has it":
                await asyncio.sleep(0)
            if order.locked():
                await until(lambda: bool(order._waiters) and len(order._waiters) == 2)
            dropped.cancel()
            await asyncio.gather(dropped, return_exceptions=True)
            assert dropped.cancelled()
            if order.locked():
                order.release()
            await table.settled()
            assert numbers(RunPart(1, INFO, table)) == [0, 1]
        async with place.table("a") as same, place.table("b") as other:
            for one in (same, other):
                place.recover(one)
                found = RunPart(1, INFO, one)
                assert found.progress.applied == 1
                assert numbers(found) == [0, 1]

    asyncio.run(asyncio.wait_for(play(), 60))


def test_an_entry_that_fits_no_message_halts_its_run_before_anything_is_behind_it(place: Place) -> None:
    async def play() -> None:
        async with place.table("a") as table:
            with pytest.raises(Fatal, match=r"a batch for .*-changelog has 16,77\d,\d{3} bytes, and a message takes"):
                await RunPart(1, INFO, table).append("t", 0, bytes((16 << 20) - 1100))
            await took(RunPart(1, INFO, table), 0, 1)
            assert numbers(RunPart(1, INFO, table)) == [1]

    asyncio.run(asyncio.wait_for(play(), 60))


def test_what_does_not_come_to_stand_while_partitions_move_ends_the_process(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state would be read anew without it."""

    def ended(reason: str, *_: Any) -> None:
        raise SystemExit(reason)

    async def play() -> None:
        async with place.table("a") as table:
            await table._orders[1].acquire()  # the file waits for its turn, for ever
            await RunPart(1, INFO, table).append("t", 0, segment(0))
            with pytest.raises(SystemExit, match="1 entries have not come to stand"):
                await table.settled()
            table._orders[1].release()
            await table.settled()

    monkeypatch.setattr("processors.worker.table.end_process", ended)
    monkeypatch.setattr("processors.worker.table.PATIENCE", 0.5)
    asyncio.run(asyncio.wait_for(play(), 60))


def test_an_entry_whose_file_cannot_be_written_ends_the_process(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may wait for it, and the next one must not stand here without it."""
    told: list[str] = []

    def ended(reason: str, error: BaseException) -> None:
        told.append(f"{reason}: {type(error).__name__}")
        raise error

    async def play() -> None:
        async with place.table("a") as table:
            part = RunPart(1, INFO, table)
            table.store.path(1, b"run|t|0|0").mkdir(parents=True)  # no file can stand where a folder does
            await part.append("t", 0, segment(0))
            await table.settled()

    monkeypatch.setattr("processors.worker.table.end_process", ended)
    asyncio.run(asyncio.wait_for(play(), 60))
    assert told == ["the local state can't be written: IsADirectoryError"]
