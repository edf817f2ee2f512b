"""Where Kafka, PostgreSQL, the object store and the API are, and how to connect to them.

Always: the environment goes before the home; a secret never shows in a repr or an error.
Must not know: who started the servers.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from deploy.stack.credentials import USER, Credentials
from deploy.stack.layout import Layout, read_json
from deploy.stack.ports import LOOPBACK
from deploy.stack.postgres import DATABASE
from deploy.stack.record import alive
from deploy.stack.settings import one_of, secret
from schemas.errors import Retriable

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
REGION = "us-east-1"


@dataclass(frozen=True)
class Kafka:
    """A Kafka cluster and how it wants to be spoken to."""

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def confluent(self) -> dict[str, Any]:
        """Settings of a librdkafka client."""
        settings = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol.lower(),
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.username,
            "sasl.password": self.password,
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.cert,
            "ssl.key.location": self.key,
        }
        return {name: value for name, value in settings.items() if value is not None}

    def aiokafka(self) -> dict[str, Any]:
        """Keyword arguments of an aiokafka client."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap.split(","),
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            arguments["ssl_context"] = self.ssl_context()
        if self.sasl_mechanism is not None:
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = self.username
            arguments["sasl_plain_password"] = self.password
        return arguments

    def faust(self) -> dict[str, Any]:
        """Keyword arguments of a Faust app: its brokers and its credentials."""
        import faust

        arguments: dict[str, Any] = {"broker": [f"kafka://{node}" for node in self.bootstrap.split(",")]}
        context = self.ssl_context() if self.security_protocol.endswith("SSL") else None
        if self.sasl_mechanism is not None:
            arguments["broker_credentials"] = faust.SASLCredentials(
                username=self.username, password=self.password, ssl_context=context, mechanism=self.sasl_mechanism
            )
        elif context is not None:
            arguments["broker_credentials"] = faust.SSLCredentials(context=context)
        return arguments

    def ssl_context(self) -> ssl.SSLContext:
        """Verifies the brokers against METAL_KAFKA_CA or the machine's authorities; shows our certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


@dataclass(frozen=True)
class Postgres:
    """A database as a libpq URL."""

    url: str = field(repr=False)

    @property
    def public(self) -> str:
        """The URL without its password."""
        parts = urlsplit(self.url)
        user, at, address = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{address}"))

    def __repr__(self) -> str:
        return f"Postgres({self.public!r})"


@dataclass(frozen=True)
class S3:
    """An object store."""

    endpoint: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    region: str = REGION

    def boto3(self) -> dict[str, Any]:
        """Keyword arguments of a boto3 client."""
        return {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.key,
            "aws_secret_access_key": self.secret,
            "region_name": self.region,
        }


@dataclass(frozen=True)
class Endpoints:
    """Everything a service or a command connects to."""

    api: str | None
    kafka: Kafka
    postgres: Postgres
    s3: S3 | None


def endpoints(home: Path | None = None) -> Endpoints:
    """From the environment, and for what it doesn't name, from the home's running stack."""
    layout = Layout.of(home)
    stored = (read_json(layout.root / "endpoints.json") or {}) if alive(layout) else {}
    kafka = kafka_from_environment() or (Kafka(**stored["kafka"]) if stored.get("kafka") else None)
    postgres = postgres_from_environment() or (Postgres(stored["postgres"]) if stored.get("postgres") else None)
    absent = [name for name, found in (("Kafka", kafka), ("PostgreSQL", postgres)) if found is None]
    if kafka is None or postgres is None:
        raise Retriable(
            f"no {' and no '.join(absent)} is running in {layout.root}; run 'metal up', "
            "or set METAL_KAFKA and METAL_POSTGRES"
        )
    s3 = s3_from_environment() or (S3(**stored["s3"]) if stored.get("s3") else None)
    return Endpoints(os.environ.get("METAL_API") or stored.get("api"), kafka, postgres, s3)


def embedded_kafka(port: int, credentials: Credentials) -> Kafka:
    return Kafka(f"{LOOPBACK}:{port}", "SASL_PLAINTEXT", "PLAIN", USER, credentials.kafka_password)


def embedded(ports: dict[str, int], credentials: Credentials) -> dict[str, Any]:
    """What the supervisor writes down for `endpoints`: the servers that are up."""
    found: dict[str, Any] = {"api": None, "kafka": None, "postgres": None, "s3": None}
    if "kafka" in ports:
        found["kafka"] = asdict(embedded_kafka(ports["kafka"], credentials))
    if "postgres" in ports:
        address = f"{LOOPBACK}:{ports['postgres']}"
        found["postgres"] = f"postgresql://{USER}:{credentials.postgres_password}@{address}/{DATABASE}"
    if "s3" in ports:
        found["s3"] = asdict(S3(f"http://{LOOPBACK}:{ports['s3']}", credentials.s3_key, credentials.s3_secret))
    if "api" in ports:
        found["api"] = f"http://{LOOPBACK}:{ports['api']}"
    return found


def kafka_from_environment() -> Kafka | None:
    """METAL_KAFKA and METAL_KAFKA_*; the security protocol follows from what is given unless it is given too."""
    bootstrap = os.environ.get("METAL_KAFKA")
    if not bootstrap:
        return None
    username, ca = os.environ.get("METAL_KAFKA_USERNAME") or None, os.environ.get("METAL_KAFKA_CA") or None
    cert, key = os.environ.get("METAL_KAFKA_CERT") or None, os.environ.get("METAL_KAFKA_KEY") or None
    implied = ("SASL_" if username else "") + ("SSL" if ca or cert else "PLAINTEXT")
    protocol = one_of("METAL_KAFKA_SECURITY_PROTOCOL", PROTOCOLS, implied)
    kafka = Kafka(",".join(part.strip() for part in bootstrap.split(",")), protocol, ca=ca, cert=cert, key=key)
    if not protocol.startswith("SASL"):
        return kafka
    mechanism = one_of("METAL_KAFKA_SASL_MECHANISM", MECHANISMS, "PLAIN")
    password = secret("METAL_KAFKA_PASSWORD")
    return replace(kafka, sasl_mechanism=mechanism, username=username, password=password)


def postgres_from_environment() -> Postgres | None:
    """METAL_POSTGRES, its password from METAL_POSTGRES_PASSWORD(_FILE) when the URL has none."""
    url = os.environ.get("METAL_POSTGRES")
    if not url:
        return None
    password = secret("METAL_POSTGRES_PASSWORD", required=False)
    parts = urlsplit(url)
    user, at, address = parts.netloc.rpartition("@")
    if password and at and ":" not in user:
        url = urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{address}"))
    return Postgres(url)


def s3_from_environment() -> S3 | None:
    endpoint = os.environ.get("METAL_S3")
    if not endpoint:
        return None
    region = os.environ.get("METAL_S3_REGION") or REGION
    return S3(endpoint, secret("METAL_S3_KEY") or "", secret("METAL_S3_SECRET") or "", region)
