"""The contract's command line, typed as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.fixtures import People
from tests.faults.rig import Rig, document, wrong_counts
from tests.oracle import differences

pytestmark = pytest.mark.stack


def test_run_wait_and_export(rig: Rig, small: People, tmp_path: Path) -> None:
    answer = document(rig.metal("run", str(small.task("typed")), "--wait", "--json"))
    assert {"run", "task", "state", "seconds", "tables"} <= answer.keys()
    assert answer["state"] == "prepared"
    assert wrong_counts(answer, small.oracle) == []
    output = tmp_path / "person.jsonl"
    asked = ("outbox", "export", answer["run"], "--table", "person", "--format", "jsonl", "--output", str(output))
    assert rig.metal(*asked).returncode == 0
    exported = [json.loads(line) for line in output.read_text().splitlines()]
    assert differences(small.oracle, "person", exported) == []


def test_status_names_every_service(rig: Rig) -> None:
    answer = document(rig.metal("status", "--json"))
    assert answer["state"] == "up"
    assert {"api", "connect", "worker", "review"} <= answer["services"].keys()
    assert answer["endpoints"].keys() == {"api", "kafka", "postgres", "s3"}
    assert all(one["pid"] and one["state"] == "ready" for one in answer["services"]["worker"])


def test_exit_codes(rig: Rig, small: People, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.task.yaml"
    wrong.write_text("task: wrong\ntables: {}\n")
    done = rig.metal("run", str(wrong), "--wait")
    assert done.returncode == 2
    assert f"{wrong}:" in done.stderr
    done = rig.metal("run", str(wrong), "--wait", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)
    missing = small.task("missing")
    missing.write_text(missing.read_text().replace("data/crm.csv", "data/nowhere.csv"))
    done = rig.metal("run", str(missing), "--wait")
    assert done.returncode in (1, 2)
    assert "nowhere.csv" in done.stderr
