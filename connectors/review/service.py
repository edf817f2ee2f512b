"""The review writer: metal.outbox and metal.deadletter into PostgreSQL. This module only wires.

Several of it share the partitions. One that was stopped and wakes up, or that lost its partitions, changes nothing:
see store.py.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import structlog

from connectors.review import metrics
from connectors.review.inbox import Inbox
from connectors.review.keeper import Keeper
from connectors.review.reader import Reader
from connectors.review.writer import Health, Writer
from connectors.topics_admin import ensure_topics
from control_api.logs import setup
from control_api.observe import serve
from control_api.store.db import migrate
from deploy.stack.credentials import master_key
from deploy.stack.endpoints import Endpoints, endpoints
from schemas.errors import Retriable

_log = structlog.get_logger("metal.review")

WRITERS = 2  # while one waits for PostgreSQL to parse, the other decodes
HELD_BYTES = 96 * 1024 * 1024  # of messages read and not stored yet


class Review:
    """The parts of one review process, started and stopped together."""

    def __init__(self, kafka: dict[str, Any], postgres: str, master: bytes, held: int = HELD_BYTES) -> None:
        self.health = Health()
        inbox = Inbox(held)
        self._keeper = Keeper(postgres, self.health)
        self._writers = [Writer(postgres, master, inbox, self.health, self._keeper.rejected) for _ in range(WRITERS)]
        self._reader = Reader(kafka, postgres, inbox, self.health)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Until `stopping` says so. What was read and not stored then is read again by whoever comes next."""
        threads: list[Keeper | Writer] = [self._keeper, *self._writers]
        for thread in threads:
            thread.start()
        self._reader.start()
        try:
            while not stopping():
                self._reader.step()
        finally:
            for thread in threads:
                thread.stop()
            for thread in threads:
                thread.join(timeout=30)
            self._reader.close()

    def ready(self) -> tuple[bool, str]:
        wrong = dict(self.health.wrong)
        return not wrong, "; ".join(f"{system}: {why}" for system, why in wrong.items()) or "ready"


def main() -> int:
    setup("review")
    ends = endpoints()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    review = Review(ends.kafka.confluent(), ends.postgres.url, master_key())
    server = serve(int(os.environ.get("METAL_PORT", "0")), review.ready, metrics.REGISTRY)
    try:
        _prepare(ends, stopping)
        review.run(stopping.is_set)
    finally:
        server.close()
    return 0


def _prepare(ends: Endpoints, stopping: threading.Event) -> None:
    """Topics and tables, as soon as there is anything to make them in."""
    pause = 0.2
    while not stopping.is_set():
        try:
            migrate(ends.postgres.url)
            ensure_topics(ends.kafka.confluent())
            return
        except Retriable as error:
            _log.warning("waiting", reason=str(error), seconds=pause)
        stopping.wait(pause)
        pause = min(2 * pause, 5.0)


if __name__ == "__main__":
    sys.exit(main())
