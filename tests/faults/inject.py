"""Faults: processes killed, stopped, put out of their group and let die at failpoints, at moments from a seed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.group import LeaveGroupRequest
from confluent_kafka.admin import AdminClient

from deploy.stack.endpoints import Kafka
from deploy.stack.layout import read_json
from deploy.stack.ports import pick
from processors.worker.app import GROUP
from tests.faults.rig import REPOSITORY, Rig, eventually


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """False when it was gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def supervisor(rig: Rig) -> int:
    state: dict[str, Any] = read_json(rig.home / "run" / "state.json")
    return int(state["supervisor"]["pid"])


def kill_service(rig: Rig, service: str, draw: random.Random) -> int | None:
    """Kills one process of a service, the supervisor too; a killed supervisor is started again."""
    if service == "supervisor":
        pid = supervisor(rig)
        kill(pid)
        time.sleep(0.5)
        rig.up()
        return pid
    pids = rig.pids(service)
    if not pids:
        return None
    pid = draw.choice(sorted(pids))
    return pid if kill(pid) else None


def put_out(rig: Rig) -> int:
    """Tells the broker in the workers' names that they leave their group: they find out, and join it anew."""
    kafka = rig.ends.kafka
    admin = AdminClient(kafka.confluent())
    group = admin.describe_consumer_groups([GROUP])[GROUP].result(20)
    members = [member.member_id for member in group.members]
    asyncio.run(_leave(kafka, members))
    return len(members)


async def _leave(kafka: Kafka, members: list[str]) -> None:
    client = AIOKafkaClient(**kafka.aiokafka())
    await client.bootstrap()
    try:
        node = await client.coordinator_lookup(CoordinationType.GROUP, GROUP)
        assert await client.ready(node)
        for member in members:
            answer = await client.send(node, LeaveGroupRequest(GROUP, member))
            assert answer.error_code in (0, 25), answer  # 25: gone already
    finally:
        await client.close()


@dataclass
class Chaos:
    """Kills what stands in `plan`, one after the other, with pauses drawn from the seed."""

    rig: Rig
    plan: list[str]
    pause: tuple[float, float]
    seed: int
    log: list[str] = field(default_factory=list)
    _failed: list[BaseException] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        return bool(self._failed)

    def run(self) -> None:
        draw, began = random.Random(self.seed), time.monotonic()
        try:
            for service in self.plan:
                time.sleep(draw.uniform(*self.pause))
                pid = kill_service(self.rig, service, draw)
                self.log.append(f"{time.monotonic() - began:.2f}s {service} {pid}")
        except BaseException as error:
            self._failed.append(error)
            raise

    @contextmanager
    def during(self) -> Iterator[None]:
        """The kills happen while the block runs; it waits for the last of them."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join(300)
            print(f"fault seed {self.seed}: {self.log}")
        assert not self._failed, self._failed


def plan(services: Sequence[str], rounds: int, seed: int) -> list[str]:
    """Each service so many times, in an order drawn from the seed."""
    drawn = [service for service in services for _ in range(rounds)]
    random.Random(seed).shuffle(drawn)
    return drawn


@contextmanager
def unsupervised(rig: Rig, service: str) -> Iterator[None]:
    """Without supervised processes of a service, so that others can stand in for them."""
    rig.scale(**{service: 0})
    try:
        yield
    finally:
        rig.scale(**{service: 1})
        rig.ready()


@contextmanager
def doomed(rig: Rig, service: str, failpoint: str, folder: Path, nth: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A process of an unsupervised service that dies at a failpoint."""
    port = pick([])
    environment = {
        **os.environ,
        "METAL_HOME": str(rig.home),
        "METAL_INSTANCE": "0",
        "METAL_PORT": str(port),
        "METAL_FAILPOINTS": f"{failpoint}=kill:{nth}",
    }
    with (folder / f"{failpoint}.log").open("ab") as log:
        process = subprocess.Popen(
            [*rig.command, service], env=environment, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def dies(process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    eventually(lambda: process.poll() is not None, seconds, "the process died at its failpoint", every=0.05)
    assert process.returncode == -signal.SIGKILL, f"it ended by {process.returncode}"


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP for the block, then SIGCONT."""
    kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        kill(pid, signal.SIGCONT)
