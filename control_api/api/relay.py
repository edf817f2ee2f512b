"""Sends control and audit events from the control store to their topics, at least once and in order.

A row is marked as sent after the broker has it. One process relays at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import Producer
from psycopg import sql

from connectors.topics_admin import ensure_topics
from control_api.api.leader import Leader
from control_api.api.metrics import Metrics
from control_api.store import audit, control, delivery, health, privacy, waivers
from control_api.store.db import Connection
from schemas.topics import AUDIT, CONTROL

LOCK: Final = 0x6D65_0010
_POLL: Final = 1.0


def producer(kafka: dict[str, Any]) -> Producer:
    return Producer(
        {
            **kafka,
            "enable.idempotence": True,
            "linger.ms": 0,
            "delivery.timeout.ms": 8_000,
            "socket.keepalive.enable": True,
            "log_level": 3,
        }
    )


class Relay(Leader):
    def __init__(
        self,
        url: str,
        kafka: dict[str, Any],
        metrics: Metrics,
        prepare: Callable[[dict[str, Any]], object] = ensure_topics,
        make: Callable[[dict[str, Any]], Any] = producer,
    ) -> None:
        super().__init__("relay", url, LOCK)
        self._kafka = kafka
        self._metrics = metrics
        self._prepare = prepare
        self._make = make

    def work(self, conn: Connection) -> None:
        self._prepare(self._kafka)  # or the broker might make the topics, with its own settings
        sender = self._make(self._kafka)  # a new one after every failure: what it still held is read again
        conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(delivery.CHANNEL)))
        while not self.stopping():
            if self._send(conn, sender):
                continue
            self._note(conn)
            for _ in conn.notifies(timeout=_POLL, stop_after=1):
                pass

    def _send(self, conn: Connection, sender: Any) -> int:
        with conn.transaction():
            events = control.relay(conn, sender)
        with conn.transaction():
            entries = audit.relay(conn, sender)
        self._metrics.relayed.labels(CONTROL.name).inc(events)
        self._metrics.relayed.labels(AUDIT.name).inc(entries)
        return events + entries

    def _note(self, conn: Connection) -> None:
        self._metrics.relay_last.set_to_current_time()
        for topic, count in health.waiting(conn).items():
            self._metrics.relay_waiting.labels(topic).set(count)
        self._metrics.raw_runs.set(waivers.holding(conn))
        states = health.open_by_state(conn)
        for state in ("running", "paused", "prepared"):
            self._metrics.runs.labels(state).set(states.get(state, 0))
        for account in privacy.accounts(conn):
            self._metrics.privacy_left.labels(account.ledger.budget).set(float(account.ledger.left.epsilon))
