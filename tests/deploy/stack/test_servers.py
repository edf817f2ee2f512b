"""Kafka, PostgreSQL and the object store as real processes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import psycopg
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from deploy import stack
from deploy.stack import jars, record
from deploy.stack.layout import Layout
from schemas.errors import Fatal, Retriable
from tests.deploy.stack.conftest import FAKE, eventually

pytestmark = pytest.mark.stack
SERVERS = {"kafka", "postgres"}


def admin(endpoints: stack.Endpoints) -> AdminClient:
    return AdminClient({**endpoints.kafka.confluent(), "log_level": 0})


def test_a_whole_life(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start with services, S3 on demand, kill what serves, kill who watches, and find the data again."""
    found = stack.up(home, {*SERVERS, "api", "worker"}, command=FAKE)
    assert found.state == "up"
    endpoints = stack.endpoints(home)
    assert endpoints.s3 is None
    client = admin(endpoints)
    client.create_topics([NewTopic("kept", 3)])["kept"].result(10)
    with psycopg.connect(endpoints.postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    s3 = boto3.client("s3", **stack.ensure("s3", home).boto3())
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="a/b", Body=b"object")
    assert stack.endpoints(home).s3 is not None
    assert list((home / "s3").rglob("kept"))

    for name in ("kafka", "postgres"):
        os.kill(stack.status(home).services[name][0]["pid"], signal.SIGKILL)
    supervisor = record.read(Layout.of(home)).supervisor
    assert supervisor is not None
    eventually(lambda: stack.status(home).services["kafka"][0]["restarts"] == 1)
    os.kill(supervisor.pid, signal.SIGKILL)
    eventually(lambda: not supervisor.alive)
    again = stack.up(home, {*SERVERS, "api", "worker", "s3"}, command=FAKE)
    assert again.state == "up"
    assert again.services["worker"][0]["pid"] == found.services["worker"][0]["pid"]
    assert again.endpoints["kafka"] == found.endpoints["kafka"]
    assert "kept" in admin(stack.endpoints(home)).list_topics(timeout=10).topics
    url = again.endpoints["postgres"]
    assert url is not None
    with psycopg.connect(url) as connection:  # the shown URL names the password's file
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    check_modes(home)

    assert stack.down(home)
    stack.up(home, {*SERVERS, "s3"})
    s3 = boto3.client("s3", **stack.ensure("s3", home).boto3())
    assert "kept" in admin(stack.endpoints(home)).list_topics(timeout=10).topics
    assert s3.get_object(Bucket="kept", Key="a/b")["Body"].read() == b"object"
    stack.down(home, purge=True)
    assert not home.exists()


def check_modes(home: Path) -> None:
    """No file with a secret can be read by others, nothing else of the home can be listed."""
    for path in [home, *home.iterdir()]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode & (0o066 if path == home else 0o077) == 0, f"{path} has mode {mode:o}"
    for name in ("credentials.json", "endpoints.json", "pgpass", "master.key", "kafka/server.properties"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


def test_strangers_are_turned_away(stack: stack.Endpoints, stack_home: Path) -> None:
    plain = AdminClient({"bootstrap.servers": stack.kafka.bootstrap, "log_level": 0})
    with pytest.raises(KafkaException):
        plain.list_topics(timeout=2)
    wrong = AdminClient({**stack.kafka.confluent(), "sasl.password": "wrong", "log_level": 0})
    with pytest.raises(KafkaException):
        wrong.list_topics(timeout=2)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(stack.postgres.public.replace("metal@", "metal:wrong@"))


def test_servers_listen_on_loopback_alone(stack: stack.Endpoints) -> None:
    address = outward_address()
    for port in (stack.kafka.bootstrap.rpartition(":")[2], stack.postgres.public.rpartition(":")[2].partition("/")[0]):
        with socket.socket() as client:
            client.settimeout(1)
            assert client.connect_ex((address, int(port))) != 0


def outward_address() -> str:
    """An address of this machine that is not 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])


def test_a_second_home_does_not_touch_the_first(stack: stack.Endpoints, home: Path) -> None:
    from deploy import stack as embedded

    found = embedded.up(home, {"postgres"})
    assert found.endpoints["postgres"] != stack.postgres.public
    embedded.down(home, purge=True)
    assert admin(stack).list_topics(timeout=10).brokers


def test_down_while_the_servers_start(home: Path) -> None:
    raised: list[BaseException] = []

    def start() -> None:
        try:
            stack.up(home, SERVERS)
        except Retriable as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    eventually(lambda: stack.status(home).state == "starting")
    stack.down(home)
    thread.join(20)
    assert "stopped while it started" in str(raised[0])
    assert stack.status(home).state == "down"
    assert stack.up(home, {"postgres"}).state == "up"


def test_a_disk_that_fills_up_ends_the_start_with_the_reason(home: Path) -> None:
    """A limit on the size of files stands for the full disk, so that no privilege is needed."""
    script = (
        "import resource, sys; from pathlib import Path; from deploy import stack\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
        "stack.up(Path(sys.argv[1]), {'postgres'})"
    )
    done = subprocess.run([sys.executable, "-c", script, str(home)], capture_output=True, text=True, check=False)
    assert "postgres does not start" in done.stderr
    assert "the disk is full" in done.stderr
    assert stack.status(home).state == "down"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert stack.up(home, {"postgres"}).state == "up"


def test_a_home_on_a_full_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(home.parent)._replace(free=10 << 20)
    monkeypatch.setattr("deploy.stack.layout.shutil.disk_usage", lambda path: full)
    with pytest.raises(Fatal, match="is full: 10 MiB are free"):
        stack.up(home, SERVERS)
    assert stack.status(home).state == "down"


def test_without_network_after_the_first_fetch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jars.fetch(jars.listed("kafka"))
    monkeypatch.setenv("METAL_JARS_URL", "http://127.0.0.1:9")
    assert stack.up(home, {"kafka"}).state == "up"


def test_no_jars_and_no_network_is_explained(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METAL_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("METAL_JARS_URL", (tmp_path / "nowhere").as_uri())
    with pytest.raises(Retriable, match=r"(?s)kafka does not start.*METAL_JARS_URL"):
        stack.up(home, {"kafka"})
    assert stack.status(home).state == "down"


def test_servers_of_ones_own_are_not_started(
    stack: stack.Endpoints, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy import stack as embedded

    monkeypatch.setenv("METAL_KAFKA", stack.kafka.bootstrap)
    monkeypatch.setenv("METAL_KAFKA_USERNAME", stack.kafka.username or "")
    monkeypatch.setenv("METAL_KAFKA_PASSWORD", stack.kafka.password or "")
    monkeypatch.setenv("METAL_POSTGRES", stack.postgres.url)
    found = embedded.up(home, {*SERVERS, "api"}, command=FAKE)
    assert (found.state, found.services["kafka"]) == ("up", [{"pid": None, "state": "external"}])
    assert found.endpoints["kafka"] == stack.kafka.bootstrap
    assert "metal:" not in str(found.endpoints["postgres"])
    assert admin(embedded.endpoints(home)).list_topics(timeout=10).brokers
    assert not (home / "kafka").exists()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen("http://127.0.0.1:9/", timeout=1)
