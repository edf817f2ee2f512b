"""The stack of the tests from official images, for METAL_TEST_STACK=containers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.stack import Endpoints, Kafka, Postgres

KAFKA_IMAGE = "apache/kafka:4.1.1"
POSTGRES_IMAGE = "postgres:18.1"


@contextmanager
def running() -> Iterator[Endpoints]:
    """Both containers, for as long as the context lasts."""
    from testcontainers.kafka import KafkaContainer
    from testcontainers.postgres import PostgresContainer

    with (
        KafkaContainer(KAFKA_IMAGE) as kafka,
        PostgresContainer(POSTGRES_IMAGE, username="metal", dbname="metal", driver=None) as postgres,
    ):
        yield Endpoints(
            api=None,
            kafka=Kafka(kafka.get_bootstrap_server()),
            postgres=Postgres(postgres.get_connection_url()),
            s3=None,
        )
