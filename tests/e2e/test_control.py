"""Pause, resume, stop; a run that can't go on halts alone; rejects and their limit."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest

from tests.faults.feeds import Family
from tests.faults.fixtures import People
from tests.faults.rig import Rig, document, eventually
from tests.oracle import prepare
from tests.oracle.prepare import load_task

pytestmark = pytest.mark.stack


def _stand(rig: Rig, run: str) -> list[str]:
    return sorted(map(repr, rig.rows(run, "child")))


def _quiet(rig: Rig, run: str, seconds: float) -> bool:
    """Whether the prepared rows stay as they are for so long."""
    before = _stand(rig, run)
    time.sleep(seconds)
    return before == _stand(rig, run)


def test_pause_and_resume_are_seen_within_a_second(rig: Rig, tmp_path: Path) -> None:
    family = Family(tmp_path, seed=21)
    family.step(1_000)
    task = family.task("paused")
    run = rig.start(task)
    rig.settles(run, lambda: family.oracle(task))
    rig.call("POST", f"/runs/{run}/pause", {})
    time.sleep(1.0)
    family.step(1_000)
    assert _quiet(rig, run, 1.5)
    assert rig.state(run) == "paused"
    before = _stand(rig, run)
    rig.call("POST", f"/runs/{run}/resume", {})
    eventually(lambda: _stand(rig, run) != before, 1.5, "rows change after the resume", every=0.05)
    rig.settles(run, lambda: family.oracle(task))


def test_stop_is_seen_within_a_second_and_keeps_or_drops_what_is_prepared(rig: Rig, tmp_path: Path) -> None:
    family = Family(tmp_path, seed=22)
    family.step(1_000)
    for name, drop in (("kept", False), ("dropped", True)):
        task = family.task(name)
        run = rig.start(task)
        rig.settles(run, lambda task=task: family.oracle(task))
        rig.call("POST", f"/runs/{run}/stop", {"drop_prepared": drop})
        stands = "SELECT count(*) AS n FROM information_schema.tables WHERE table_schema = %s"
        assert rig.query(stands, f"outbox_{run}")[0]["n"] == (0 if drop else 3)
        if drop:
            continue
        time.sleep(1.0)
        family.step(500)
        assert _quiet(rig, run, 1.5)


def test_stop_in_the_middle(rig: Rig, large: People) -> None:
    """What is under way is dropped where it stands; the next run is not hindered."""
    run = rig.start(large.task("cut"))
    eventually(lambda: rig.query("SELECT 1 FROM metal.lanes WHERE run = %s AND owner IS NOT NULL", run), 30, "reading")
    rig.call("POST", f"/runs/{run}/stop", {"drop_prepared": True})
    again = rig.start(large.task("again"))
    rig.wait(again)
    rig.check(again, large.oracle)
    assert rig.state(run) == "stopped"


POISON = """
task: {name}
rejects: {{share: {share}, count: {count}}}
tables:
  poison:
    columns: {{id: {{type: int64}}, at: {{type: timestamp}}, sure: {{type: bool}}, price: {{type: decimal}}}}
    primary_key: {{column: id, conflicts: drop_all}}
    sources: {{s: {{connector: csv, path: poison.csv}}}}
"""
BAD = [
    "x,2024-01-01T00:00:00Z,true,1",
    "9,yesterday,true,1",
    "9,,maybe,1",
    "9,,,1.2.3",
    "99999999999999999999,,,1",
    "9,,",
]


def _poisoned(folder: Path, every: int, records: int = 10_000) -> None:
    lines = [
        BAD[n // every % len(BAD)] if n % every == 0 else f"{n},2024-01-01T00:00:00Z,false,{n}.5"
        for n in range(1, records + 1)
    ]
    (folder / "poison.csv").write_text("\n".join(["id,at,sure,price", *lines]) + "\n")


@pytest.mark.parametrize(("name", "every"), [("one_in_hundred", 100), ("all", 1)])
def test_poison_becomes_dead_letters_with_reason_and_position(rig: Rig, tmp_path: Path, name: str, every: int) -> None:
    _poisoned(tmp_path, every)
    path = tmp_path / f"{name}.task.yaml"
    path.write_text(POISON.format(name=name, share=1, count=100_000))
    run = rig.start(path)
    rig.wait(run)
    rig.check(run, prepare(load_task(path), tmp_path))
    letters = rig.query("SELECT reason, position, stage, rule FROM metal.dead_letters WHERE run = %s", run)
    assert len(letters) == 10_000 // every
    assert all(letter["reason"] and letter["stage"] and letter["rule"] for letter in letters)
    lines = sorted(letter["position"]["line"] for letter in letters)
    assert lines == [n + 1 for n in range(1, 10_001) if n % every == 0]


def test_too_many_rejects_halt_the_run_alone(rig: Rig, small: People, tmp_path: Path) -> None:
    _poisoned(tmp_path, 10)
    path = tmp_path / "limit.task.yaml"
    path.write_text(POISON.format(name="limit", share=0.01, count=100))
    run, other = rig.start(path), rig.start(small.task("beside"))
    report = rig.wait(run, state="failed")
    assert "reject" in report["reason"]
    rig.wait(other)
    rig.check(other, small.oracle)


def test_a_source_that_fails_halts_its_run_alone(rig: Rig, small: People) -> None:
    path = small.task("gone")
    (small.folder / "data" / "gone.csv").write_text("id,name\n1,x\n")
    path.write_text(path.read_text().replace("data/erp.csv", "data/gone.csv"))
    (small.folder / "data" / "gone.csv").write_bytes(b"id,name\n\xff\xfe,\x00\n")
    run, other = rig.start(path), rig.start(small.task("beside_too"))
    eventually(lambda: rig.state(run) in ("failed", "prepared"), 60, "the run with the damaged file is over")
    rig.wait(other)
    rig.check(other, small.oracle)


def test_replay_after_correction_goes_through_every_stage(rig: Rig, tmp_path: Path) -> None:
    with (tmp_path / "poison.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "at", "sure", "price"], ["1", "", "true", "1"], ["2", "", "maybe", "2"]])
    path = tmp_path / "replayed.task.yaml"
    path.write_text(POISON.format(name="replayed", share=1, count=10))
    run = rig.start(path)
    rig.wait(run)
    assert len(rig.rows(run, "poison")) == 1
    listed = document(rig.metal("deadletter", "list", run, "--json"))
    letters = listed if isinstance(listed, list) else next(v for v in listed.values() if isinstance(v, list))
    corrected = {"_letter": letters[0]["id"], "id": 2, "at": None, "sure": False, "price": "2"}
    (tmp_path / "corrected.jsonl").write_text(json.dumps(corrected) + "\n")
    done = rig.metal("deadletter", "replay", run, "--file", str(tmp_path / "corrected.jsonl"), "--json")
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(rig.rows(run, "poison")) == 2, 30, "the corrected record is prepared")
    report = rig.report(run)["tables"]["poison"]
    assert (report["prepared"], report["rejected"]) == (2, 1), json.dumps(report)  # its first reading stays counted
    assert report["read"] == 3
