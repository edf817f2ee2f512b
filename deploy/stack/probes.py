"""Whether a server answers as it should, asked once and quickly.

Always: an answer within about a second; a refused connection is 'not yet', never an error.
Must not know: what follows from the answer.
"""

from __future__ import annotations

import http.client

from deploy.stack.credentials import USER, Credentials
from deploy.stack.ports import LOOPBACK, answers
from deploy.stack.postgres import DATABASE

TIMEOUT = 1.0


def ready(name: str, ports: list[int], secret: Credentials) -> bool:
    """Ready for its clients."""
    if not answers(ports[0]):
        return False
    if name == "kafka":
        return _kafka(ports[0], secret)
    if name == "postgres":
        return _postgres(ports[0], secret)
    if name == "s3":
        return status(ports[0], "/") is not None
    return status(ports[0], "/ready") == 200


def status(port: int, path: str, timeout: float = TIMEOUT) -> int | None:
    """The HTTP status of a path, or None when there is no answer."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _kafka(port: int, secret: Credentials) -> bool:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    from deploy.stack.endpoints import embedded_kafka

    settings = embedded_kafka(port, secret).confluent()
    admin = AdminClient({**settings, "log_level": 0, "socket.timeout.ms": 1000})
    try:
        return bool(admin.list_topics(timeout=TIMEOUT).brokers)
    except KafkaException:
        return False


def _postgres(port: int, secret: Credentials) -> bool:
    import psycopg

    try:
        psycopg.connect(
            host=LOOPBACK,
            port=port,
            user=USER,
            password=secret.postgres_password,
            dbname=DATABASE,
            connect_timeout=2,
        ).close()
    except psycopg.OperationalError:
        return False
    return True
