"""A thread that works in one process at a time, whichever holds its lock in the control store."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Final

import structlog
from psycopg.rows import tuple_row

from control_api.store.db import Connection, connect
from schemas.errors import Retriable

log = structlog.get_logger()

_RETRY: Final = 1.0


class Leader(threading.Thread, ABC):
    """Subclasses say what is done while the lock is held; losing the database or the broker begins anew."""

    def __init__(self, name: str, url: str, lock: int) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._lock_id = lock
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        said = ""
        while not self._stopping.is_set():
            try:
                with connect(self._url, autocommit=True) as conn:
                    self._lead(conn)
                said = ""
            except Retriable as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("waiting", thread=self.name, reason=said)
            except Exception as error:  # the thread must outlive what nobody thought of; it says so and tries again
                log.error("failed unexpectedly", thread=self.name, exc_info=error)
            self._stopping.wait(_RETRY)

    def _lead(self, conn: Connection) -> None:
        while not self._stopping.is_set():
            if not _try_lock(conn, self._lock_id):
                self._stopping.wait(_RETRY)
                continue
            log.info("leading", thread=self.name)
            self.work(conn)

    @abstractmethod
    def work(self, conn: Connection) -> None:
        """Until `stopping`. The lock is that of this connection, which is in autocommit mode."""

    def stopping(self, seconds: float = 0.0) -> bool:
        """Waits so long, and says whether to stop."""
        return self._stopping.wait(seconds)


def _try_lock(conn: Connection, lock: int) -> bool:
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("SELECT pg_try_advisory_lock(%s)", (lock,)).fetchone()
    return bool(row and row[0])
