"""A process dies exactly where it hurts: between an effect and the note that it happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.feeds import Family
from tests.faults.fixtures import People
from tests.faults.inject import dies, doomed
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
    rig: Rig, small: People, tmp_path: Path, service: str, failpoint: str, fault_rounds: int
) -> None:
    for n in range(fault_rounds):
        with doomed(rig, service, failpoint, tmp_path) as process:
            run = rig.start(small.task(f"{failpoint.replace('.', '_')}_{n}", partitions=(3, 1, 8)[n % 3]))
            dies(process)
        rig.wait(run)
        rig.check(run, small.oracle)


@pytest.mark.parametrize(("service", "failpoint"), FAILPOINTS)
def test_a_continuous_run_whose_process_dies_there(
    rig: Rig, tmp_path: Path, service: str, failpoint: str, fault_seed: int
) -> None:
    family = Family(tmp_path, seed=fault_seed)
    family.step(2_000)
    task = family.task("c_" + failpoint.replace(".", "_"))
    run = rig.start(task)
    rig.settles(run, lambda: family.oracle(task))
    with doomed(rig, service, failpoint, tmp_path, nth=2) as process:
        while process.poll() is None:
            family.feed(0.5)
        dies(process)
    rig.settles(run, lambda: family.oracle(task), seconds=90)
