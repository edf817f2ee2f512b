"""A thread that stores chunks: one connection, one transaction after another, whatever happens to either.

What always holds: a chunk is stored whole, or it counts as not stored and its partition is placed again. A database
that is away is waited for; a chunk that cannot be stored is taken apart, so that one run's trouble ends that run
and no other.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from connectors.failpoints import hit
from connectors.review import metrics
from connectors.review.inbox import Inbox, Partition
from connectors.review.letters import store_letters
from connectors.review.messages import Chunk, Held, RunFails, Stale
from connectors.review.session import evict, open_session
from connectors.review.store import Stored, advance, store_batches
from control_api.settle import fail_open_run
from schemas import topics

_log = structlog.get_logger("metal.review")

_AWAY = (psycopg.OperationalError, psycopg.InterfaceError)
_LONGEST_PAUSE = 5.0


class Health:
    """Whether the last thing tried with a system worked; asked by /ready."""

    def __init__(self) -> None:
        self.wrong: dict[str, str] = {"kafka": "not yet connected", "postgres": "not yet connected"}

    def set(self, system: str, wrong: str | None) -> None:
        if wrong is None:
            self.wrong.pop(system, None)
        else:
            self.wrong[system] = wrong


class Writer(threading.Thread):
    def __init__(
        self, url: str, master: bytes, inbox: Inbox, health: Health, rejected: Callable[[set[str]], None]
    ) -> None:
        super().__init__(name="review-writer", daemon=True)
        self._url = url
        self._master = master
        self._inbox = inbox
        self._health = health
        self._rejected = rejected
        self._stopping = threading.Event()
        self._conn: psycopg.Connection[Any] | None = None

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            taken = self._inbox.take(0.5)
            if taken is not None:
                self._settle(*taken)
        self._close()

    def _settle(self, partition: Partition, chunk: Chunk) -> None:
        """Comes back when the chunk is stored, or no longer ours to store; what it waits for is its own to tell.

        Others may go on meanwhile, where one table's disk is full, say: their success does not end this wait.
        """
        waiting = "{}/{}".format(*partition.place)
        try:
            self._until_stored(partition, chunk, waiting)
        finally:
            self._health.set(waiting, None)

    def _until_stored(self, partition: Partition, chunk: Chunk, waiting: str) -> None:
        pause = 0.1
        while not self._stopping.is_set():
            try:
                self._persist(self._open(), chunk)
                hit("review.after_commit")
                self._health.set("postgres", None)
                return self._inbox.stored(partition, chunk)
            except Stale as reason:
                _log.info("partition_placed_again", partition=partition.place, reason=str(reason))
                return self._inbox.drift(partition, chunk)
            except Held:
                _log.warning("partition_held_by_another", partition=partition.place)
                self._evict(partition)
            except _AWAY as error:
                self._close()
                self._health.set(waiting, f"not stored: {type(error).__name__}")
                metrics.RETRIES.inc()
                _log.warning("database_away", error=type(error).__name__, seconds=pause)
            except Exception as error:  # the thread goes on: what is wrong may pass, and /ready says it waits
                self._close()
                self._health.set(waiting, "not stored: a transaction fails for an unknown reason; see the log")
                _log.error("transaction_failed", partition=partition.place, **_shown(error))
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return self._inbox.drift(partition, chunk)

    def _evict(self, partition: Partition) -> None:
        try:
            evict(self._open(), partition.place)
        except _AWAY:
            self._close()  # the next attempt opens it again and finds out more

    def _persist(self, conn: psycopg.Connection[Any], chunk: Chunk) -> None:
        try:
            return self._store(conn, chunk)
        except RunFails as error:
            _fail(conn, error.run, error.reason)
        except (*_AWAY, Stale, Held):
            raise
        except Exception as error:  # whatever it is, it must not keep the other runs of this partition waiting
            _log.error("chunk_not_stored", partition=chunk.place, messages=len(chunk.messages), **_shown(error))
            if len(chunk.messages) == 1:
                return self._give_up(conn, chunk, error)
            return self._one_by_one(conn, chunk)
        return self._persist(conn, chunk)  # the run that failed takes nothing any more

    def _one_by_one(self, conn: psycopg.Connection[Any], chunk: Chunk) -> None:
        known = chunk.known
        for message in chunk.messages:
            single = Chunk(chunk.place, known, [message])
            self._persist(conn, single)
            known = single.following

    def _give_up(self, conn: psycopg.Connection[Any], chunk: Chunk, error: Exception) -> None:
        header = chunk.messages[0].header
        if header is not None:
            _fail(conn, header.run, f"the review store cannot take a batch of {header.table}: {type(error).__name__}")
        skip(conn, chunk)

    def _store(self, conn: psycopg.Connection[Any], chunk: Chunk) -> None:
        started = time.monotonic()
        if chunk.place[0] == topics.DEADLETTER.name:
            letters = store_letters(conn, chunk)
            self._rejected(letters.runs)
            done: Stored = letters
        else:
            done = store_batches(conn, chunk, self._master)
        metrics.observe(chunk.place[0], done, time.monotonic() - started)

    def _open(self) -> psycopg.Connection[Any]:
        if self._conn is None:
            self._conn = open_session(self._url)
        return self._conn

    def _close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


def _shown(error: Exception) -> dict[str, str]:
    """What happened and where, without the message: it may hold a record's value."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return {"error": type(error).__name__, "where": f"{where.filename}:{where.lineno}"}


def _fail(conn: psycopg.Connection[Any], run: str, reason: str) -> None:
    _log.error("run_failed", run=run, reason=reason)
    with conn.transaction():
        conn.execute("SET LOCAL synchronous_commit = on")
        fail_open_run(conn, run, reason)


def skip(conn: psycopg.Connection[Any], chunk: Chunk) -> None:
    """Moves past messages that cannot be stored for anyone."""
    with conn.transaction():
        advance(conn, chunk)
    metrics.SKIPPED.inc(len(chunk.messages))
