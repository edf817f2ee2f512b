"""One run whose anonymization is turned off for one table: what is named leaves as it is, to the review store alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_nothing_raw import _topics
from tests.faults.rig import Rig, document, eventually

pytestmark = pytest.mark.stack

TASK = """
task: waived
tables:
  person:
    columns: {id: {type: int64}, name: {type: string}, age: {type: int64}, ill: {type: string}}
    primary_key: {column: id, conflicts: {prefer: [s]}}
    sources: {s: {connector: jsonl, path: person.jsonl}}
    anonymize:
      - {method: suppress, columns: [name]}
      - {method: generalize, quasi_identifiers: [age], k: 5}
  visit:
    columns: {id: {type: int64}, person: {type: int64, references: person.id}, note: {type: string}}
    primary_key: {column: id, conflicts: {prefer: [s]}}
    sources: {s: {connector: jsonl, path: visit.jsonl}}
    anonymize:
      - {method: anatomize, sensitive: note, l: 2}
"""
PEOPLE = [{"id": n, "name": f"AS-IT-IS-{n:03}", "age": 20 + n % 50, "ill": ("flu", "cold")[n % 2]} for n in range(200)]
VISITS = [{"id": n, "person": n, "note": f"NOTED-{n % 7}"} for n in range(200)]


def rows(rig: Rig, run: str, table: str) -> list[dict[str, Any]]:
    return sorted(rig.rows(run, table), key=lambda row: int(row["id"]))


def test_one_table_leaves_as_it_is_the_other_as_ever_and_so_does_the_next_run(rig: Rig, tmp_path: Path) -> None:
    task = tmp_path / "waived.task.yaml"
    task.write_text(TASK)
    for name, records in (("person", PEOPLE), ("visit", VISITS)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    permit = tmp_path / "ada.permit"
    assert rig.metal("permit", "give", "ada", "--output", str(permit)).returncode == 0
    off = ("--without-anonymization", "--table", "person", "--reason", "a check", "--keep", "1")
    assert rig.metal("run", str(task), *off).returncode == 4
    done = rig.metal("run", str(task), *off, "--permit", str(permit), "--wait", "--json")
    run = document(done)["run"]
    assert "does not anonymize person" in done.stderr
    assert rows(rig, run, "person") == PEOPLE
    noted = rig.rows(run, "visit_note")
    assert all("note" not in row and row["group"] is not None for row in rig.rows(run, "visit"))
    assert sum(row["count"] for row in noted) == len(VISITS)
    assert not [place for place, content in _topics(rig) if b"AS-IT-IS-" in content]  # sealed on the way to the store
    assert b"AS-IT-IS-" not in b"".join(path.read_bytes() for path in (rig.home / "logs").glob("*.log"))
    eventually(lambda: not rig.query("SELECT 1 FROM metal.run_keys WHERE run = %s", run), 30, "its key is gone")
    _shows(rig, run, permit)
    plain = document(rig.metal("run", str(task), "--wait", "--json"))["run"]
    assert all(row["name"] is None and row["age"] not in range(100) for row in rig.rows(plain, "person"))
    assert document(rig.metal("task", "stop", run, "--drop", "--json"))["state"] == "stopped"
    assert not rig.query("SELECT 1 FROM metal.outbox_tables WHERE run = %s", run)
    actions = [entry["action"] for entry in rig.call("GET", f"/audit?subject={run}&limit=50")["items"]]
    assert {"anonymization.off", "outbox.exported", "run.prepared_deleted"} <= {*actions}


def _shows(rig: Rig, run: str, permit: Path) -> None:
    """What leaves the review store: to the holder of the permit, with a certificate that says what it is."""
    folder = permit.parent
    data, cert = folder / "person.csv", folder / "person.cert.json"
    export = ("outbox", "export", run, "--table", "person", "--format", "csv", "--output", str(data))
    assert rig.metal(*export).returncode == 4
    assert rig.metal(*export, "--permit", str(permit)).returncode == 0
    assert b"AS-IT-IS-007" in data.read_bytes()
    assert rig.metal("certificate", "show", run, "--table", "person", "--output", str(cert)).returncode == 0
    checked = rig.metal("certificate", "verify", str(cert), str(data))
    assert (checked.returncode, "NOT ANONYMIZED" in checked.stdout) == (5, True)
    other = rig.metal("certificate", "show", run, "--table", "visit")
    assert (json.loads(other.stdout)["anonymization"], json.loads(other.stdout)["anonymized"]) == ("on", True)
