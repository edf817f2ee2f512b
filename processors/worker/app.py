"""One Faust app that holds every stage: a topic and an agent for each, a table of segments where it keeps state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import faust
import structlog

from deploy.stack.endpoints import Kafka
from processors.worker import metrics
from processors.worker.delivery import StrictTransport
from processors.worker.directory import Directory
from processors.worker.merge_stage import MergeStage
from processors.worker.outlet import Outlet
from processors.worker.parts import Parts
from processors.worker.pipeline import Stage
from processors.worker.producer import BulkProducer
from processors.worker.relate_stage import RelateStage
from processors.worker.rules_stage import RulesStage
from processors.worker.table import SegmentTable
from schemas import topics
from schemas.errors import Retriable

log = structlog.get_logger()

GROUP = "metal"
SWEEP = 20.0  # seconds between looks for state of runs that are over


async def _nothing() -> None:
    pass


class WorkerApp(faust.App):
    kafka: Mapping[str, Any] = MappingProxyType({})  # settings of a librdkafka client
    revoked: Callable[[], Awaitable[None]] = staticmethod(_nothing)  # a rebalance begins: all partitions are given back
    stopping: Callable[[], None] = staticmethod(lambda: None)

    async def stop(self) -> None:
        self.stopping()
        await super().stop()

    def _new_transport(self) -> StrictTransport:
        return StrictTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> StrictTransport:
        return StrictTransport(self.conf.broker_producer, self)


def make_app(kafka: Kafka, folder: Path, session: float, group: str = GROUP) -> WorkerApp:
    app = WorkerApp(
        group,
        **kafka.faust(),
        store="memory://",
        datadir=folder / "faust",
        web_enabled=False,
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        processing_guarantee="at_least_once",
        stream_buffer_maxsize=8,  # batches, which are megabytes each
        stream_wait_empty=False,
        stream_recovery_delay=0.1,
        recovery_consistency_check=False,
        broker_max_poll_records=8,
        broker_max_poll_interval=86_400.0,
        broker_session_timeout=session,
        broker_heartbeat_interval=session / 5,
        broker_request_timeout=max(20.0, session + 5),
        broker_rebalance_timeout=30.0,
        broker_commit_interval=0.5,
        broker_check_crcs=False,  # every payload that is decoded here is authenticated by its seal
        consumer_max_fetch_size=8 * 1024 * 1024,
        consumer_auto_offset_reset="earliest",
    )
    app.kafka = kafka.confluent()
    return app


async def producer_started(app: WorkerApp) -> None:
    """Faust hands over the first batches before its producer is up, and names no event to wait for."""
    producer = cast(BulkProducer, app.producer)
    while not producer.started and not app.should_stop:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.02)


class Worker:
    """Wires topics, tables and stages; holds no rule of any of them."""

    def __init__(self, app: WorkerApp, directory: Directory, partitions: int, folder: Path) -> None:
        self.app = app
        self.directory = directory
        self.outlet = Outlet(app, partitions)
        merge_table = SegmentTable(app, name="merge-state", partitions=partitions, folder=folder / "merge")
        relate_table = SegmentTable(app, name="relate-state", partitions=partitions, folder=folder / "relate")
        self.tables = {"merge": merge_table, "relate": relate_table}
        for table in self.tables.values():
            app.tables.add(table)
        self.parts = {name: Parts(table) for name, table in self.tables.items()}
        rules = RulesStage(directory, self.outlet)
        handlers = {
            topics.EXTRACTED.name: ("rules", rules.handle),
            topics.CLEANSED.name: ("merge", MergeStage(directory, self.outlet, self.parts["merge"]).handle),
            topics.RELATED.name: ("relate", RelateStage(directory, self.outlet, self.parts["relate"]).handle),
        }
        self.stages: dict[str, Stage] = {}
        self._stage_of: dict[str, Stage] = {}
        for topic, (name, handle) in handlers.items():
            self.stages[name] = Stage(name, directory, handle, rules.ahead if name == "rules" else None)
            self._stage_of[topic] = self.stages[name]
            self._agent(topic, self.stages[name])
        app.revoked = self._revoked
        for name, table in self.tables.items():
            table.on_recover(self._moved_callback(name))
        app.task(self._sweep)

    def _agent(self, topic: str, stage: Stage) -> None:
        channel = self.app.topic(
            topic,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            partitions=self.outlet.partitions,
        )

        async def run(stream: Any) -> None:
            await producer_started(self.app)
            await stage.run(self.app, stream)

        run.__name__ = stage.name
        self.app.agent(channel, name=stage.name, concurrency=1)(run)

    def _moved_callback(self, name: str) -> Any:
        async def moved() -> None:
            metrics.REBALANCES.inc()
            self._drop(name)
            await self.tables[name].settled()

        return moved

    async def _revoked(self) -> None:
        for name in self.tables:
            self._drop(name)
        await asyncio.gather(*(table.settled() for table in self.tables.values()))

    def _drop(self, name: str) -> None:
        everything = set(range(self.outlet.partitions))
        self.stages[name].drop(everything)
        if name == "merge":  # rules keep no state, so no table tells when their partitions move
            self.stages["rules"].drop(everything)
        self.parts[name].drop(everything)

    def assigned(self, topic: str) -> set[int]:
        return {tp.partition for tp in self.app.consumer.assignment() if tp.topic == topic}

    def waits(self, topic: str, partition: int) -> bool:
        """Whether a stage has something of the partition to begin with."""
        return topic in self._stage_of and self._stage_of[topic].waits(partition)

    def gone(self, run: str) -> None:
        """Called on the loop: a run is over, what is kept of it goes."""
        for name, topic in (("merge", topics.CLEANSED.name), ("relate", topics.RELATED.name)):
            held = self.assigned(topic)
            if held:
                task = asyncio.ensure_future(self.parts[name].forget(run, held))
                task.add_done_callback(_tell)

    async def _sweep(self) -> None:
        """State of runs that ended while this worker was away."""
        while True:
            await asyncio.sleep(SWEEP)
            for name, topic in (("merge", topics.CLEANSED.name), ("relate", topics.RELATED.name)):
                try:
                    await self._forget_what_is_over(name, topic)
                except Retriable as error:
                    log.warning("waiting for the control store", error=str(error))

    async def _forget_what_is_over(self, name: str, topic: str) -> None:
        for run in self.parts[name].runs(self.assigned(topic)):
            await self.directory.get(run)
            if not self.directory.active(run):
                await self.parts[name].forget(run, self.assigned(topic))


def _tell(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and task.exception():
        log.error("what is left of a run that is over could not be removed", exc_info=task.exception())
