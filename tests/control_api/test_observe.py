from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from control_api.observe import Server, serve
from schemas.errors import Fatal


class Service:
    def __init__(self) -> None:
        self.answer: tuple[bool, str] | None = (True, "working")

    def ready(self) -> tuple[bool, str]:
        if self.answer is None:
            raise ValueError("planted")
        return self.answer


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def server(service: Service) -> Iterator[Server]:
    registry = CollectorRegistry()
    Counter("metal_records", "Records", registry=registry).inc(3)
    found = serve(0, service.ready, registry)
    yield found
    found.close()


def test_health_readiness_and_metrics(server: Server, service: Service) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        assert client.get("/healthz").json() == {"state": "ok"}
        assert client.get("/ready").json() == {"ready": True, "why": "working"}
        assert "metal_records_total 3.0" in client.get("/metrics").text
        assert client.get("/other").status_code == 404
        service.answer = (False, "recovering")
        told = client.get("/ready")
        assert (told.status_code, told.json()) == (503, {"ready": False, "why": "recovering"})
        service.answer = None
        told = client.get("/ready")
        assert told.status_code == 503
        assert "planted" not in told.text
        assert client.get("/healthz").status_code == 200


def test_a_port_that_is_taken_is_told(server: Server, service: Service) -> None:
    with pytest.raises(Fatal, match="METAL_PORT"):
        serve(server.port, service.ready, CollectorRegistry())


def test_a_closed_server_gives_its_port_back(service: Service) -> None:
    first = serve(0, service.ready, CollectorRegistry())
    first.close()
    serve(first.port, service.ready, CollectorRegistry()).close()
