"""Once its sources are quiet, a continuous run has prepared what a snapshot prepares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.faults.feeds import Family
from tests.faults.rig import Rig, document, eventually
from tests.oracle import Oracle, prepare
from tests.oracle.prepare import load_task

pytestmark = pytest.mark.stack


def test_snapshot_of_changes(rig: Rig, tmp_path: Path) -> None:
    family = Family(tmp_path, seed=1)
    family.step(20_000)
    task = family.task("family", "snapshot")
    run = rig.start(task)
    rig.wait(run)
    rig.check(run, family.oracle(task))


@pytest.mark.parametrize("seed", [2, 3])
def test_inserts_updates_deletions(rig: Rig, tmp_path: Path, seed: int) -> None:
    family = Family(tmp_path, seed=seed, plain=seed == 2)
    family.step(5_000)
    task = family.task(f"family{seed}")
    run = rig.start(task)
    family.feed(8, changes=150)
    rig.settles(run, lambda: family.oracle(task))
    family.feed(3, changes=50)
    rig.call("POST", f"/runs/{run}/finish")
    rig.wait(run)  # with counts that add up
    rig.check(run, family.oracle(task))


def _append(folder: Path, name: str, *records: dict[str, object]) -> None:
    with (folder / f"{name}.jsonl").open("a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records))


def test_a_late_parent_brings_its_children_and_takes_them_along(rig: Rig, tmp_path: Path) -> None:
    family = Family(tmp_path, seed=4)
    task = family.task("late")
    run = rig.start(task)
    _append(tmp_path, "child", *({"id": n, "parent_id": 1, "amount": "1.5", "seq": 1, "op": "u"} for n in range(10)))
    rig.settles(run, lambda: family.oracle(task))
    assert rig.rows(run, "child") == []
    _append(tmp_path, "parent", {"id": 1, "region": "north", "seq": 1, "op": "u"})
    rig.settles(run, lambda: family.oracle(task))
    assert len(rig.rows(run, "child")) == 10
    _append(tmp_path, "parent", {"id": 1, "region": "south", "seq": 2, "op": "u"})
    rig.settles(run, lambda: family.oracle(task))
    assert [row["region"] for row in rig.rows(run, "total")] == ["south"]
    _append(tmp_path, "parent", {"id": 1, "region": None, "seq": 3, "op": "d"})
    rig.settles(run, lambda: family.oracle(task))
    assert rig.rows(run, "child") == rig.rows(run, "total") == []


TOPIC = """
task: topic
mode: continuous
epoch: 0.3
tables:
  reading:
    columns:
      id:    {type: int64}
      value: {type: float64, range: {min: 0, outside: drop}}
    primary_key: {column: id, conflicts: {prefer: [meters]}}
    sources: {meters: {connector: kafka, topic: meters, changes: true}}
"""


def test_a_topic_of_changes(rig: Rig, tmp_path: Path) -> None:
    """One record per message; a later one of the same key replaces the earlier."""
    kafka = rig.ends.kafka.confluent()
    admin = AdminClient(kafka)
    for made in admin.create_topics([NewTopic("meters", 3, 1)]).values():
        made.result()
    producer, told = Producer(kafka), []
    path = tmp_path / "topic.task.yaml"
    path.write_text(TOPIC)
    run = rig.start(path)

    def tell(first: int, last: int) -> None:
        for n in range(first, last):
            record = {"id": n * 7919 % 1000, "value": n % 53 - 2.0}
            told.append(record)
            key = str(record["id"]).encode()
            producer.produce("meters", json.dumps(record).encode(), key, partition=record["id"] % 3)
        assert producer.flush(30) == 0

    def oracle() -> Oracle:
        return prepare(load_task(path), tmp_path, {"reading/meters": told})

    tell(0, 5_000)
    rig.settles(run, oracle)
    tell(5_000, 6_000)
    rig.settles(run, oracle)


def test_a_run_that_finishes_is_prepared_like_a_snapshot_and_takes_corrections(rig: Rig, tmp_path: Path) -> None:
    _append(tmp_path, "meters", {"id": 1, "value": 1.5}, {"id": 2, "value": "x"})
    path = tmp_path / "finished.task.yaml"
    path.write_text(FINISHED)
    run = rig.start(path)
    eventually(lambda: len(rig.rows(run, "reading")) == 1, 60, "a record is prepared")
    _append(tmp_path, "meters", {"id": 3, "value": 2.5})
    report = document(rig.metal("task", "finish", run, "--wait", "--json"))
    assert report["state"] == "prepared"
    assert (report["tables"]["reading"]["prepared"], report["tables"]["reading"]["rejected"]) == (2, 1)
    assert report["ended_at"] is None  # there is something to correct
    (letter,) = document(rig.metal("deadletter", "list", run, "--json"))["letters"]
    assert (
        document(rig.metal("deadletter", "replay", run, letter["id"], "--set", "value=3.5", "--json"))["replayed"] == 1
    )
    eventually(lambda: rig.report(run)["ended_at"], 60, "the run has ended")
    assert sorted(row["value"] for row in rig.rows(run, "reading")) == [1.5, 2.5, 3.5]


FINISHED = """
task: finished
mode: continuous
epoch: 0.3
rejects: {share: 1, count: 10}
tables:
  reading:
    columns:
      id:    {type: int64}
      value: {type: float64}
    primary_key: {column: id, conflicts: {prefer: [meters]}}
    sources: {meters: {connector: jsonl, path: meters.jsonl}}
"""
