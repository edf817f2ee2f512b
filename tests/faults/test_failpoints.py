"""A process dies exactly where it hurts: between an effect and the note that it happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.feeds import Family
from tests.faults.fixtures import People
from tests.faults.inject import dies, doomed, unsupervised
from tests.faults.rig import Rig

pytestmark = [pytest.mark.stack, pytest.mark.faults]

FAILPOINTS = [
    ("connect", "connect.after_produce"),
    ("worker", "worker.after_segment"),
    ("worker", "worker.mid_epoch"),
    ("review", "review.after_copy"),
    ("review", "review.after_commit"),
]


@pytest.mark.parametrize(("service", "failpoint"), FAILPOINTS)
def test_a_snapshot_whose_process_dies_there(
    rig: Rig, large: People, tmp_path: Path, service: str, failpoint: str
) -> None:
    with unsupervised(rig, service), doomed(rig, service, failpoint, tmp_path) as process:
        run = rig.start(large.task(failpoint.replace(".", "_"), partitions=3))
        dies(process)
    rig.wait(run)
    rig.check(run, large.oracle)


@pytest.mark.parametrize(("service", "failpoint"), FAILPOINTS)
def test_a_continuous_run_whose_processes_die_there(
    rig: Rig, tmp_path: Path, service: str, failpoint: str, fault_seed: int, fault_rounds: int
) -> None:
    """One after the other: each takes over from one that died there."""
    family = Family(tmp_path, seed=fault_seed)
    family.step(2_000)
    task = family.task("c_" + failpoint.replace(".", "_"), epoch=0.5)
    run = rig.start(task)
    rig.settles(run, lambda: family.oracle(task))
    with unsupervised(rig, service):
        for n in range(fault_rounds):
            with doomed(rig, service, failpoint, tmp_path, nth=1 + n % 3) as process:
                while process.poll() is None:
                    family.feed(0.5)
                dies(process)
    rig.settles(run, lambda: family.oracle(task), seconds=90)
