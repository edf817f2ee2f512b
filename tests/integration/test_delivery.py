"""Every message reaches a stage, in order, whatever happens to the workers: Faust's own consumer does not give that.

Workers join, leave, are killed and stand still under steady load; then every delivery is counted.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.stack import Endpoints
from processors.worker.ledger import Name
from schemas import headers
from schemas.headers import Header
from schemas.topics import MERGE_STATE

pytestmark = pytest.mark.stack

PARTITIONS = 8
SESSION = 2.0  # seconds until the group takes a silent worker for dead
RATE = 200  # messages a second
CALM = 45.0  # seconds without an acknowledgement, once the faults are over, after which something is taken for stuck
ROOT = Path(__file__).parents[2]


class Load(threading.Thread):
    """Sends without pause; a message's sequence number is the offset it must get."""

    def __init__(self, kafka: dict[str, str], topic: str) -> None:
        super().__init__(daemon=True)
        self._producer = Producer({**kafka, "enable.idempotence": True, "linger.ms": 2})
        self._topic = topic
        self._ending = threading.Event()
        self.ends = [0] * PARTITIONS

    def run(self) -> None:
        while not self._ending.wait(0.05):
            for _ in range(int(RATE * 0.05)):
                self.send(random.randrange(PARTITIONS), 1)
            self._producer.poll(0)

    def send(self, partition: int, count: int) -> None:
        for _ in range(count):
            header = Header("data", "told", "run", "table", "lane/0", 1, self.ends[partition], 0, 1)
            pairs = list[tuple[str, str | bytes | None]](headers.encode(header))
            self._producer.produce(self._topic, b"x" * 200, partition=partition, headers=pairs)
            self.ends[partition] += 1

    def end(self) -> list[int]:
        self._ending.set()
        if self.is_alive():
            self.join()
        assert self._producer.flush(20) == 0
        return self.ends


@dataclass
class Workers:
    """The processes that were started, and their notes."""

    topic: str
    folder: Path
    environment: dict[str, str]
    group: str
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    gone: list[tuple[subprocess.Popen[bytes], str]] = field(default_factory=list)
    started: int = 0

    def join(self) -> None:
        self.started += 1
        folder = self.folder / str(self.started)
        folder.mkdir()
        command = [sys.executable, str(Path(__file__).with_name("delivery_app.py"))]
        command += [self.topic, self.group, str(folder), str(SESSION)]
        with open(folder / "log", "wb") as log:
            self.running.append(
                subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
            )

    def leave(self, worker: subprocess.Popen[bytes]) -> None:
        self._end(worker, "asked to leave", signal.SIGTERM)

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        self._end(worker, "killed", signal.SIGKILL)

    def _end(self, worker: subprocess.Popen[bytes], how: str, number: signal.Signals) -> None:
        self.running.remove(worker)
        self.gone.append((worker, how))
        worker.send_signal(number)

    def stand_still(self, worker: subprocess.Popen[bytes]) -> None:
        worker.send_signal(signal.SIGSTOP)
        time.sleep(SESSION * 2.2)
        worker.send_signal(signal.SIGCONT)

    def replace_ended(self) -> None:
        """As the supervisor does: a worker that woke up out of its group may end itself and is started again."""
        for worker in [one for one in self.running if one.poll() is not None]:
            self.running.remove(worker)
            self.gone.append((worker, "ended itself"))
            self.join()

    def notes(self) -> dict[str, list[list[str]]]:
        found = {}
        for path in sorted(self.folder.glob("*/notes")):
            found[path.parent.name] = [line.split() for line in path.read_text().splitlines()]
        return found

    def end(self) -> None:
        for worker in [*self.running, *(one for one, _ in self.gone)]:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait(10)


def in_order(notes: dict[str, list[list[str]]]) -> int:
    """A process is given a partition's offsets without a hole; it may be sent back, never ahead. Says how many."""
    given = 0
    for process, lines in notes.items():
        following: dict[int, int] = {}
        for word, *numbers in lines:
            if word == "m":
                following = {}
            elif word == "h":
                partition, offset, sequence = map(int, numbers)
                assert offset <= following.get(partition, offset), f"worker {process}, partition {partition}"
                assert offset == sequence
                following[partition] = offset + 1
                given += 1
    return given


def durable(notes: dict[str, list[list[str]]]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    for lines in notes.values():
        for word, *numbers in lines:
            if word == "d":
                found[int(numbers[0])].add(int(numbers[1]))
    return found


class Acknowledged:
    """What the group has acknowledged, looked at again and again."""

    def __init__(self, kafka: dict[str, str], topic: str, group: str) -> None:
        self._consumer = Consumer({**kafka, "group.id": group, "enable.auto.commit": False})
        self._places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]

    def now(self) -> list[int]:
        return [max(place.offset, 0) for place in self._consumer.committed(self._places, timeout=20)]

    def nothing_early(self, workers: Workers) -> list[int]:
        """Enforces: what is acknowledged is durable; what was acknowledged first is looked at before the notes."""
        committed = self.now()
        done = durable(workers.notes())
        for partition, offset in enumerate(committed):
            missing = set(range(offset)) - done[partition]
            assert not missing, f"acknowledged up to {offset}, but not done: partition {partition}, {sorted(missing)}"
        return committed

    def past(self, count: int, seconds: float) -> bool:
        return wait(lambda: sum(self.now()) > count, seconds)

    def close(self) -> None:
        self._consumer.close()


def plan(rounds: int, chance: random.Random) -> list[str]:
    kinds = ["join", "kill", "join", "stand still", "leave"]
    drawn = (kinds * (rounds // len(kinds) + 1))[:rounds]
    chance.shuffle(drawn)
    return drawn


def fault(kind: str, workers: Workers, chance: random.Random) -> None:
    workers.replace_ended()
    if kind == "join" and len(workers.running) < 3:
        workers.join()
        return
    worker = chance.choice(workers.running)
    if kind == "stand still":
        workers.stand_still(worker)
        return
    (workers.leave if kind == "leave" else workers.kill)(worker)
    if not workers.running:
        workers.join()


def wait(until: Callable[[], bool], seconds: float, every: float = 0.2) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if until():
            return True
        time.sleep(every)
    return until()


@contextmanager
def rig(stack: Endpoints, folder: Path) -> Iterator[tuple[Workers, Acknowledged, Load]]:
    kafka = stack.kafka.confluent()
    name = f"delivery-{uuid4().hex[:8]}"
    admin = AdminClient(kafka)
    state = NewTopic(f"{name}-state-changelog", PARTITIONS, 1, config=MERGE_STATE.settings)
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1), state]).values():
        future.result()
    environment = {**os.environ, "METAL_TEST_KAFKA": json.dumps(asdict(stack.kafka)), "PYTHONPATH": str(ROOT)}
    workers = Workers(name, folder, environment, name)
    acknowledged = Acknowledged(kafka, name, name)
    try:
        yield workers, acknowledged, Load(kafka, name)
    finally:
        workers.end()
        acknowledged.close()
        admin.delete_topics([name, f"{name}-state-changelog"])


def _goes_on(workers: Workers, acknowledged: Acknowledged, beyond: int) -> bool:
    def further() -> bool:
        workers.replace_ended()
        return sum(acknowledged.now()) > beyond

    return wait(further, CALM)


def test_nothing_is_lost_or_out_of_order(
    stack: Endpoints, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = max(10, request.config.getoption("--fault-rounds"))
    seed = request.config.getoption("--fault-seed")
    seed = random.randrange(2**32) if seed is None else seed
    chance = random.Random(seed)
    with capsys.disabled():
        print(f"\ndelivery: {rounds} changes, --fault-seed={seed}")
    with rig(stack, tmp_path) as (workers, acknowledged, load):
        workers.join()
        assert wait(lambda: any(workers.notes().values()), 40), "the first worker does not come up"
        load.start()
        for kind in plan(rounds, chance):
            fault(kind, workers, chance)
            before = sum(acknowledged.nothing_early(workers))
            if chance.random() < 0.8:  # else the next change falls into what this one has set off
                acknowledged.past(before, 4.0)
            time.sleep(chance.uniform(0.1, 1.5))
        ends = load.end()
        while (now := acknowledged.now()) != ends:
            assert _goes_on(workers, acknowledged, sum(now)), f"seed {seed}: stuck at {now} of {ends}"
        assert acknowledged.nothing_early(workers) == ends
        notes = workers.notes()
        assert {partition: len(offsets) for partition, offsets in durable(notes).items()} == dict(enumerate(ends))
        assert in_order(notes) >= sum(ends)


def test_partitions_take_turns(stack: Endpoints, tmp_path: Path) -> None:
    """One that is far behind does not keep the others waiting, or each is only as fast as one alone."""
    with rig(stack, tmp_path) as (workers, acknowledged, load):
        load.send(0, 400)
        load.send(5, 20)
        ends = load.end()
        workers.join()
        assert wait(lambda: acknowledged.now() == ends, 60)
        given = [int(partition) for word, partition, *_ in filter(_of_handler, workers.notes()["1"])]
        assert given.count(0) >= 400
        last = len(given) - 1 - given[::-1].index(5)
        assert last < 150, f"partition 5 had to wait until {last} were handed over"


def _of_handler(line: list[str]) -> bool:
    return line[0] == "h"


def test_a_log_that_is_trimmed_while_it_is_read_back_does_not_stop_a_worker(stack: Endpoints, tmp_path: Path) -> None:
    """As the janitor does when a run is over: all but the last entry goes, also what recovery waits for."""
    kafka = stack.kafka.confluent()
    with rig(stack, tmp_path) as (workers, acknowledged, load):
        log = f"{workers.topic}-state-changelog"
        producer, value = Producer({**kafka, "compression.type": "none"}), os.urandom(400_000)
        for n in range(60):
            for partition in range(PARTITIONS):
                producer.produce(log, value, Name("run", "table", n, n).key(), partition)
        assert producer.flush(60) == 0
        for partition in range(PARTITIONS):
            load.send(partition, 20)
        ends = load.end()
        workers.join()
        state = tmp_path / "1" / "state"
        assert wait(lambda: any(state.glob("*/*.seg")), 40, every=0.005), "recovery does not begin"
        workers.running[0].send_signal(signal.SIGSTOP)
        assert len(list(state.glob("*/*.seg"))) < 59 * PARTITIONS, "it was over before the log was trimmed"
        spared = [TopicPartition(log, partition, 59) for partition in range(PARTITIONS)]
        admin = AdminClient(kafka)
        for future in admin.delete_records(spared).values():
            future.result()
        workers.running[0].send_signal(signal.SIGCONT)
        assert wait(lambda: acknowledged.now() == ends, CALM)
        assert workers.running[0].poll() is None
