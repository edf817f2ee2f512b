"""Where things are: from the environment with TLS and SASL, from the home without it, secrets never shown."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import faust
import psycopg.conninfo
import pytest
from confluent_kafka import Producer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy import stack
from deploy.stack import S3, Kafka, Postgres
from deploy.stack.endpoints import kafka_from_environment, postgres_from_environment, s3_from_environment
from schemas.errors import InvalidInput, Retriable

CANARY = "c4n4ry"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    cert, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, private


def test_plain_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAL_KAFKA", "one:9092, two:9092")
    kafka = kafka_from_environment()
    assert kafka == Kafka("one:9092,two:9092")
    assert kafka.confluent() == {"bootstrap.servers": "one:9092,two:9092", "security.protocol": "plaintext"}
    assert kafka.aiokafka() == {"bootstrap_servers": ["one:9092", "two:9092"], "security_protocol": "PLAINTEXT"}
    assert kafka.faust() == {"broker": ["kafka://one:9092", "kafka://two:9092"]}


def test_kafka_with_tls_and_scram(
    monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    (tmp_path / "password").write_text(CANARY + "\n")
    for name, value in {
        "METAL_KAFKA": "broker:9093",
        "METAL_KAFKA_SASL_MECHANISM": "scram-sha-512",
        "METAL_KAFKA_USERNAME": "etl",
        "METAL_KAFKA_PASSWORD_FILE": str(tmp_path / "password"),
        "METAL_KAFKA_CA": str(cert),
        "METAL_KAFKA_CERT": str(cert),
        "METAL_KAFKA_KEY": str(key),
    }.items():
        monkeypatch.setenv(name, value)
    kafka = kafka_from_environment()
    assert kafka is not None
    assert CANARY not in repr(kafka)
    settings = kafka.confluent()
    assert settings == {
        "bootstrap.servers": "broker:9093",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "etl",
        "sasl.password": CANARY,
        "ssl.ca.location": str(cert),
        "ssl.certificate.location": str(cert),
        "ssl.key.location": str(key),
    }
    Producer({**settings, "log_level": 0})  # librdkafka reads the files and refuses what it does not know
    arguments = kafka.aiokafka()
    assert arguments["security_protocol"] == "SASL_SSL"
    assert arguments["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert (arguments["sasl_mechanism"], arguments["sasl_plain_password"]) == ("SCRAM-SHA-512", CANARY)
    credentials = kafka.faust()["broker_credentials"]
    assert isinstance(credentials, faust.SASLCredentials)
    assert (credentials.protocol.value, credentials.username, credentials.password) == ("SASL_SSL", "etl", CANARY)


def test_kafka_with_tls_alone(monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]) -> None:
    monkeypatch.setenv("METAL_KAFKA", "broker:9093")
    monkeypatch.setenv("METAL_KAFKA_CA", str(certificate[0]))
    kafka = kafka_from_environment()
    assert kafka is not None
    assert kafka.confluent()["security.protocol"] == "ssl"
    assert isinstance(kafka.faust()["broker_credentials"], faust.SSLCredentials)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("METAL_KAFKA_SECURITY_PROTOCOL", "TLS", "one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ("METAL_KAFKA_SASL_MECHANISM", "GSSAPI", "one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ("METAL_KAFKA_PASSWORD", "", "set METAL_KAFKA_PASSWORD or METAL_KAFKA_PASSWORD_FILE"),
        ("METAL_KAFKA_PASSWORD_FILE", "/nowhere/at/all", "a file that can be read"),
    ],
)
def test_wrong_kafka_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, message: str
) -> None:
    monkeypatch.setenv("METAL_KAFKA", "broker:9093")
    monkeypatch.setenv("METAL_KAFKA_USERNAME", "etl")
    if not setting.startswith("METAL_KAFKA_PASSWORD"):
        monkeypatch.setenv("METAL_KAFKA_PASSWORD", CANARY)
    monkeypatch.setenv(setting, value)
    with pytest.raises(InvalidInput, match=message):
        kafka_from_environment()


def test_postgres_url_and_its_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss/word")
    monkeypatch.setenv("METAL_POSTGRES", "postgresql://etl@db:5433/prod?sslmode=verify-full")
    monkeypatch.setenv("METAL_POSTGRES_PASSWORD_FILE", str(tmp_path / "password"))
    postgres = postgres_from_environment()
    assert postgres is not None
    assert psycopg.conninfo.conninfo_to_dict(postgres.url) == {
        "host": "db",
        "port": "5433",
        "user": "etl",
        "dbname": "prod",
        "password": "p@ss/word",
        "sslmode": "verify-full",
    }
    assert postgres.public == "postgresql://etl@db:5433/prod?sslmode=verify-full"


def test_s3_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAL_S3", "https://objects:9000")
    with pytest.raises(InvalidInput, match="METAL_S3_KEY"):
        s3_from_environment()
    monkeypatch.setenv("METAL_S3_KEY", "id")
    monkeypatch.setenv("METAL_S3_SECRET", CANARY)
    monkeypatch.setenv("METAL_S3_REGION", "eu-central-1")
    s3 = s3_from_environment()
    assert s3 == S3("https://objects:9000", "id", CANARY, "eu-central-1")
    assert stack.ensure("s3") == s3  # nothing of ours is started


@pytest.mark.parametrize(
    "holder",
    [
        Kafka("h:1", "SASL_PLAINTEXT", "PLAIN", "u", CANARY),
        Postgres(f"postgresql://u:{CANARY}@h/d"),
        S3("http://h", CANARY, CANARY),
        stack.Endpoints(None, Kafka("h:1", password=CANARY), Postgres(f"postgresql://u:{CANARY}@h/d"), None),
    ],
)
def test_no_secret_in_a_repr(holder: object) -> None:
    assert CANARY not in f"{holder!r} {holder}"


def test_the_environment_goes_before_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METAL_KAFKA", "broker:9092")
    with pytest.raises(Retriable, match=r"no PostgreSQL is running .*metal up"):
        stack.endpoints(tmp_path)
    monkeypatch.setenv("METAL_POSTGRES", "postgresql://db/metal")
    found = stack.endpoints(tmp_path)
    assert (found.kafka.bootstrap, found.postgres.url, found.s3) == ("broker:9092", "postgresql://db/metal", None)


def test_home_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert stack.home() == Path("~/.metal").expanduser().resolve()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAL_HOME", "here")
    assert stack.home() == tmp_path.resolve() / "here"
