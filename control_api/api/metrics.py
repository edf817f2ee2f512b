"""What the API counts, in a registry of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "metal_api_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "metal_api_request_seconds", "Until the answer began", ["method", "route"], registry=self.registry
        )
        self.relayed = Counter(
            "metal_relayed_events", "Events sent from the control store", ["topic"], registry=self.registry
        )
        self.relay_waiting = Gauge(
            "metal_relay_waiting_events", "Events not sent yet", ["topic"], registry=self.registry
        )
        self.relay_last = Gauge(
            "metal_relay_last_success_timestamp_seconds", "When the relay last had nothing left", registry=self.registry
        )
        self.runs = Gauge("metal_runs", "Open runs", ["state"], registry=self.registry)
        self.privacy_left = Gauge(
            "metal_privacy_epsilon_left", "What may still be told", ["budget"], registry=self.registry
        )
        self.raw_runs = Gauge(
            "metal_runs_without_anonymization", "Runs that hold rows which are not anonymized", registry=self.registry
        )
        self.expired = Counter("metal_expired_runs", "Runs whose retention was over", registry=self.registry)
        self.trimmed = Counter(
            "metal_trimmed_messages", "Messages deleted from stage topics", ["topic"], registry=self.registry
        )

    def middleware(self) -> Callable[[ASGIApp], ASGIApp]:
        def wrap(app: ASGIApp) -> ASGIApp:
            return _Measured(app, self)

        return wrap


class _Measured:
    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, message["status"], time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, noted)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        path = getattr(route, "path", "(none)")  # the pattern, so that labels stay few
        self._metrics.requests.labels(scope["method"], path, str(status)).inc()
        self._metrics.seconds.labels(scope["method"], path).observe(seconds)
