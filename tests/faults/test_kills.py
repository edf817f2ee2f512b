"""kill -9 of every process at random moments: nothing is lost, nothing is prepared twice."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.faults.feeds import Family
from tests.faults.fixtures import People
from tests.faults.inject import Chaos, kill_service, plan
from tests.faults.rig import Rig

pytestmark = [pytest.mark.stack, pytest.mark.faults]

SERVICES = ("connect", "worker", "review", "api", "supervisor")


def test_a_continuous_run_survives_every_kill(rig: Rig, tmp_path: Path, fault_seed: int, fault_rounds: int) -> None:
    family = Family(tmp_path, seed=fault_seed)
    family.step(3_000)
    task = family.task("killed", epoch=0.5)
    run = rig.start(task)
    chaos = Chaos(rig, plan(SERVICES, fault_rounds, fault_seed), (0.5, 3.0), fault_seed)
    with chaos.during():
        while len(chaos.log) < len(chaos.plan) and not chaos.broken:
            family.step(60)
            time.sleep(0.3)
    rig.ready()
    rig.settles(run, lambda: family.oracle(task), seconds=120)


def test_snapshots_survive_kills(rig: Rig, large: People, fault_seed: int, fault_rounds: int) -> None:
    """A run of a second or two, and two of its processes killed at any moment of it."""
    draw = random.Random(fault_seed + 1)
    for n in range(fault_rounds):
        run = rig.start(large.task(f"snapshot{n}", partitions=draw.choice([1, 3, 8])))
        for service in draw.sample(("connect", "worker", "review"), 2):
            time.sleep(draw.uniform(0.0, 0.8))
            print(f"fault seed {fault_seed}: {run}: {service} {kill_service(rig, service, draw)}")
        rig.wait(run)
        rig.check(run, large.oracle)
        rig.ready()
