"""The stack of the tests from the official images, for METAL_TEST_STACK=containers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deploy.stack import Endpoints, Kafka, Postgres
from deploy.stack.kafka import SETTINGS

COMPOSE = Path(__file__).parents[1] / "docker-compose.yml"
PORT = 9092


def images() -> dict[str, str]:
    """The same images as the compose file pins."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    return {name: services[name]["image"] for name in ("kafka", "postgres")}


def kafka_environment(port: int) -> dict[str, str]:
    """The embedded broker's settings, without its passwords, for a client on this machine."""
    settings: dict[str, Any] = {
        **{name: value for name, value in SETTINGS.items() if not name.startswith("sasl.")},
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listeners": f"CLIENT://0.0.0.0:{PORT},CONTROLLER://127.0.0.1:9093",
        "advertised.listeners": f"CLIENT://localhost:{port}",
        "controller.quorum.voters": "1@127.0.0.1:9093",
    }
    return {f"KAFKA_{name.upper().replace('.', '_')}": str(value) for name, value in settings.items()}


@contextmanager
def running() -> Iterator[Endpoints]:
    """Both containers, for as long as the context lasts."""
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kafka = DockerContainer(images()["kafka"]).with_bind_ports(PORT, port)
    for name, value in kafka_environment(port).items():
        kafka = kafka.with_env(name, value)
    kafka = kafka.waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    postgres = PostgresContainer(images()["postgres"], username="metal", dbname="metal", driver=None)
    with kafka, postgres:
        yield Endpoints(None, Kafka(f"localhost:{port}"), Postgres(postgres.get_connection_url()), None)
