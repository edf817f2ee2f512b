"""Workers come and go, lose their local state, and wake up from the dead."""

from __future__ import annotations

import random
import shutil
import time
from operator import gt
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from processors.worker.ledger import Name
from processors.worker.store import _key_of
from schemas.topics import MERGE_STATE
from tests.faults.feeds import Family
from tests.faults.fixtures import People
from tests.faults.inject import put_out, stopped
from tests.faults.rig import QUICK, Rig, eventually

pytestmark = [pytest.mark.stack, pytest.mark.faults]


def _wipe(rig: Rig) -> None:
    shutil.rmtree(rig.home / "state", ignore_errors=True)


def test_one_three_one_with_local_state_wiped(rig: Rig, tmp_path: Path, fault_seed: int, fault_rounds: int) -> None:
    family = Family(tmp_path, seed=fault_seed)
    family.step(3_000)
    task = family.task("wiped", epoch=0.5, partitions=8)
    run = rig.start(task)
    for _ in range(fault_rounds):
        for workers in (3, 0, 1):
            family.feed(1)
            rig.scale(worker=workers)
            if workers == 0:
                _wipe(rig)
    family.feed(1)
    rig.settles(run, lambda: family.oracle(task), seconds=120)


def _begins(rig: Rig) -> list[int]:
    """Where the changelog of the merge begins, by partition."""
    consumer = Consumer({**rig.ends.kafka.confluent(), "group.id": "test"})
    places = [TopicPartition(MERGE_STATE.name, partition) for partition in range(8)]
    found = [consumer.get_watermark_offsets(place, timeout=20, cached=False)[0] for place in places]
    consumer.close()
    return found


def _files(rig: Rig, worker: int, run: str) -> int:
    """A worker's local files of a run."""
    files = (rig.home / "state" / str(worker)).glob("*/*/*.seg")
    return sum(Name.parse(_key_of(path.name)).run == run for path in files)


def test_state_whose_log_was_trimmed_meanwhile(rig: Rig, tmp_path: Path, fault_seed: int) -> None:
    """What is over is gone from the changelogs. A worker comes back that stands before that, then one without state."""
    family = Family(tmp_path, seed=fault_seed)
    family.step(3_000)
    first, second = (family.task(name, epoch=0.5, partitions=8) for name in ("before", "behind"))
    rig.scale(worker=2)
    try:
        before = _begins(rig)
        over = rig.start(first)
        family.feed(3)
        rig.settles(over, lambda: family.oracle(first), seconds=120)
        rig.scale(worker=1)
        family.feed(2)
        rig.call("POST", f"/runs/{over}/stop", {})
        eventually(lambda: all(map(gt, _begins(rig), before)), 40, "the changelog is trimmed")
        run = rig.start(second)
        family.feed(2)
        assert _files(rig, 1, over) > 0  # of before, where the log does not begin yet
        rig.scale(worker=2)
        family.feed(4)
        rig.settles(run, lambda: family.oracle(second), seconds=120)
        rig.scale(worker=0)
        _wipe(rig)
        rig.scale(worker=1)
        family.feed(1)
        rig.settles(run, lambda: family.oracle(second), seconds=120)
    finally:
        rig.scale(worker=1)


def test_workers_join_and_leave_a_snapshot(rig: Rig, large: People) -> None:
    try:
        run = rig.start(large.task("joined", partitions=8))
        rig.scale(worker=3)
        rig.wait(run)
        rig.check(run, large.oracle)
        run = rig.start(large.task("left", partitions=8))
        time.sleep(0.3)
        rig.scale(worker=1)
        rig.wait(run)
        rig.check(run, large.oracle)
    finally:
        rig.scale(worker=1)


def test_a_worker_that_wakes_up_changes_nothing(rig: Rig, tmp_path: Path, fault_seed: int, fault_rounds: int) -> None:
    """Stopped past two session time-outs, its partitions go to another; then it goes on where it stood."""
    family = Family(tmp_path, seed=fault_seed)
    family.step(3_000)
    task = family.task("asleep", epoch=0.5, partitions=8)
    rig.scale(worker=2)
    try:
        run = rig.start(task)
        for n in range(fault_rounds):
            family.feed(1.5)
            with stopped(rig.pids("worker")[n % 2]):
                family.feed(2 * float(QUICK["METAL_SESSION_SECONDS"]) + 1)
            family.feed(1)
        rig.settles(run, lambda: family.oracle(task), seconds=120)
    finally:
        rig.scale(worker=1)


def test_workers_that_are_put_out_of_their_group_lose_nothing(
    rig: Rig, tmp_path: Path, fault_seed: int, fault_rounds: int
) -> None:
    """They get their partitions back at once, while what they were at work on is on its way still."""
    draw, family = random.Random(fault_seed), Family(tmp_path, seed=fault_seed)
    family.step(3_000)
    task = family.task("out", epoch=0.5, partitions=8)
    run = rig.start(task)
    family.feed(1)
    out = 0
    for _ in range(3 * fault_rounds):
        family.feed(draw.uniform(0.8, 2.0), every=0.1, changes=60)
        out += put_out(rig)
    assert out > fault_rounds  # now and then they may be out of it already
    rig.settles(run, lambda: family.oracle(task), seconds=120)


def test_a_worker_that_stops_in_order_syncs_its_local_state(rig: Rig) -> None:
    def noted() -> set[str]:
        return {path.read_text() for path in (rig.home / "state" / "0").glob("*/boot")}

    try:
        rig.scale(worker=0)
        assert noted() == {"synced"}
    finally:
        rig.scale(worker=1)
        rig.ready()
    assert noted().isdisjoint({"synced"})
