"""A worker with one stage, made of the product's own parts, that notes what it is given and what it is done with.

`python delivery_app.py TOPIC GROUP FOLDER SESSION`; the cluster is told as JSON in METAL_TEST_KAFKA.
Lines of its log: `h PARTITION OFFSET SEQUENCE` given to the handler, `d PARTITION OFFSET` durable, `m` moved.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import faust

from deploy.stack.endpoints import Kafka
from processors.worker.app import WorkerApp, make_app
from processors.worker.directory import Directory
from processors.worker.pipeline import Stage
from processors.worker.table import SegmentTable
from schemas.headers import Header

PARTITIONS = 8


class Notes:
    """A line is in the file once `write` has returned, whatever happens to the process then."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def make_stage(notes: Notes) -> Stage:
    async def durable(partition: int, offset: int) -> None:
        await asyncio.sleep(random.random() * 0.05)
        notes.write("d", partition, offset)

    async def handle(partition: int, offset: int, header: Header, _: bytes) -> list[Awaitable[Any]]:
        notes.write("h", partition, offset, header.sequence)
        if random.random() < 0.05:
            await asyncio.sleep(random.random() * 0.1)
        return [asyncio.ensure_future(durable(partition, offset))]

    return Stage("told", Directory(lambda _: None, lambda *_: None), handle)


def wire(app: WorkerApp, topic: str, folder: Path, notes: Notes) -> None:
    stage = make_stage(notes)
    table = SegmentTable(app, name="state", partitions=PARTITIONS, folder=folder / "state")
    app.tables.add(table)
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    channel = app.topic(topic, partitions=PARTITIONS, **raw)

    async def told(stream: Any) -> None:
        await stage.run(app, stream)

    async def moved() -> None:
        stage.drop(set(range(PARTITIONS)))
        notes.write("m")

    async def revoked() -> None:
        stage.drop(set(range(PARTITIONS)))
        await table.settled()

    async def end_in_time() -> None:
        await app._stopped.wait()
        threading.Timer(8.0, os._exit, (0,)).start()

    app.revoked = revoked
    app.agent(channel, name="told", concurrency=1)(told)
    table.on_recover(moved)
    app.task(end_in_time)


def main() -> None:
    topic, group, folder, session = sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])
    folder.mkdir(parents=True, exist_ok=True)
    app = make_app(Kafka(**json.loads(os.environ["METAL_TEST_KAFKA"])), folder, session, group)
    wire(app, topic, folder, Notes(folder / "notes"))
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
