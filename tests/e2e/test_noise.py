"""Counts and sums with differential privacy through the whole engine: told, charged, refused, and told again."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.faults.inject import dies, doomed, unsupervised
from tests.faults.rig import Rig

pytestmark = pytest.mark.stack

TASK = """
task: {name}
mode: snapshot
tables:
  visit:
    columns:
      id:   {{type: int64}}
      who:  {{type: string}}
      city: {{type: string}}
      paid: {{type: decimal}}
    primary_key: {{column: id, conflicts: drop_all}}
    sources: {{feed: {{connector: jsonl, path: visits.jsonl}}}}
  told:
    from: {{visit: {{}}}}
    transform:
      - aggregate:
          by: [visit.city]
          columns: {{visits: count(*), paid: sum(visit.paid)}}
          noise:
            budget: {budget}
            epsilon: 20
            subject: visit.who
            at_most: 2
            bounds: {{paid: {{min: 0, max: 10, step: 0.5}}}}
            categories: {{visit.city: [Oslo, Rome, Nowhere]}}
  above:
    from: {{told: {{}}}}
    transform:
      - derive: {{each: "told.paid / (case when told.visits > 0 then told.visits else 1 end)"}}
"""
PEOPLE = 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Everybody visits three times, for 40: of that two visits and 20 may count."""
    draw = random.Random(8)
    rows = [
        {"id": n, "who": f"p{n // 3}", "city": "Rome" if n % 3 == 2 else "Oslo", "paid": "40"}
        for n in range(3 * PEOPLE)
    ]
    rows += [{"id": 10_000 + n, "who": f"q{n}", "city": "Bonn", "paid": "40"} for n in range(20)]
    draw.shuffle(rows)
    with (tmp_path / "visits.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return tmp_path


def task(folder: Path, name: str, budget: str) -> Path:
    path = folder / f"{name}.task.yaml"
    path.write_text(TASK.format(name=name, budget=budget))
    return path


def told(rig: Rig, run: str) -> dict[str, Any]:
    return {row["city"]: (row["visits"], row["paid"]) for row in rig.rows(run, "told")}


def near(rows: dict[str, Any]) -> None:
    """Scales are 2/10 and 20/10: each number is told from nonsense but for a chance below 10^-9."""
    assert rows.keys() == {"Oslo", "Rome", "Nowhere"}
    visits = {city: numbers[0] for city, numbers in rows.items()}
    assert abs(visits["Oslo"] + visits["Rome"] - 2 * PEOPLE) < 20
    assert abs(visits["Nowhere"]) < 10
    assert all(abs(paid - 10 * visits[city]) < 150 for city, (_, paid) in rows.items())


def left(rig: Rig, budget: str) -> float:
    return float(rig.call("GET", f"/privacy/budgets/{budget}")["left"]["epsilon"])


def test_a_run_is_told_and_certified_and_the_next_is_refused_when_the_budget_is_spent(rig: Rig, folder: Path) -> None:
    rig.call("PUT", "/privacy/budgets/people", {"epsilon": 30})
    file = task(folder, "visits", "people")
    run = rig.start(file)
    counts = rig.wait(run)["tables"]["told"]
    rows = told(rig, run)
    near(rows)
    assert (counts["read"], counts["prepared"]) == (3 * PEOPLE + 20, 3)
    for row in rig.rows(run, "above"):  # what is derived of it sees what was told, and nothing else
        visits, paid = rows[row["city"]]
        assert float(row["each"]) == pytest.approx(float(paid) / max(visits, 1))
    _certified(rig, run, folder)
    refused = rig.metal("run", str(file))
    assert refused.returncode != 0
    assert "epsilon 20 does not fit the privacy budget people, of which epsilon 10 is left" in refused.stderr
    assert "epsilon 10 would fit" in refused.stderr
    assert left(rig, "people") == 10


def _certified(rig: Rig, run: str, folder: Path) -> None:
    cert, data = folder / "cert.json", folder / "told.csv"
    document = rig.call("POST", f"/runs/{run}/outbox/told/certificate")
    cert.write_text(json.dumps(document))
    noise = document["noise"]
    assert document["anonymized"] is True
    assert (noise["cost"]["epsilon"], noise["used"]["epsilon"], noise["granted"]["epsilon"]) == (20, 20, 30)
    assert rig.metal("outbox", "export", run, "--table", "told", "--format", "csv", "-o", str(data)).returncode == 0
    assert rig.metal("certificate", "verify", str(cert), str(data)).returncode == 0


@pytest.mark.faults
def test_a_worker_that_dies_behind_its_answer_tells_the_same_and_who_comes_too_late_halts(
    rig: Rig, folder: Path, tmp_path: Path
) -> None:
    """Two runs begin while there is enough for one."""
    rig.call("PUT", "/privacy/budgets/others", {"epsilon": 20})
    with unsupervised(rig, "worker"):
        runs = [rig.start(task(folder, name, "others")) for name in ("dying", "late")]
        with doomed(rig, "worker", "worker.after_answer", tmp_path) as process:
            dies(process)
        answers = rig.query("SELECT run, col, answer FROM metal.privacy_answers WHERE run = ANY(%s)", runs)
        (run,) = {answer["run"] for answer in answers}
        assert rig.rows(run, "told") == []
    rig.wait(run)
    rows = told(rig, run)
    assert {answer["col"] for answer in answers} == {"visits", "paid"}
    for answer in answers:
        index = ("visits", "paid").index(answer["col"])
        assert {city: numbers[index] for city, numbers in rows.items()} == {
            city: type(rows[city][index])(number) for city, number in answer["answer"].items()
        }
    (late,) = set(runs) - {run}
    reason = rig.wait(late, state="failed")["reason"]
    assert "relate: table told: epsilon 20 does not fit the privacy budget others, of which epsilon 0 is left" in reason
    assert rig.rows(late, "told") == []
    assert left(rig, "others") == 0
