"""A dead letter that is corrected goes through every stage, as if it had been right from the beginning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rig import Rig, document, eventually

pytestmark = pytest.mark.stack

TASK = """
task: replayed
mode: snapshot
tables:
  person:
    columns:
      id:    {type: int64}
      name:  {type: string}
      email: {type: string, normalize: [trim, lower]}
      age:   {type: int64, range: {min: 0, max: 100, outside: clamp}}
      city:  {type: string, empty: {replace: unknown}}
      plan:  {type: string, one_of: {values: [free, paid], otherwise: reject}}
    primary_key: {column: id, conflicts: {prefer: [crm, erp]}}
    sources:
      crm: {connector: csv, path: crm.csv}
      erp: {connector: jsonl, path: erp.jsonl}
    anonymize:
      - {method: suppress, columns: [name]}
      - {method: generalize, columns: {age: {step: 10}}}
"""
CRM = """id,name,email,age,city,plan
1,Ada, ADA@X.ORG ,forty,,free
2,Ben,ben@x.org,200,Oslo,gold
3,Cleo,cleo@x.org,33,Rome,paid
"""
ERP = [
    {"id": 1, "name": "Ada L.", "email": "old@x.org", "age": 20, "city": "Bern", "plan": "paid"},
    {"id": 4, "name": "Dan", "email": "dan@x.org", "age": "old", "city": "Graz", "plan": "free"},
]
CORRECTED = {"id": 1, "name": None, "email": "ada@x.org", "age": 40, "city": "unknown", "plan": "free"}
CLEO = {"id": 3, "name": None, "email": "cleo@x.org", "age": 30, "city": "Rome", "plan": "paid"}
OLD = {"id": 1, "name": None, "email": "old@x.org", "age": 20, "city": "Bern", "plan": "paid"}


def letters(rig: Rig, run: str, state: str = "open") -> dict[int, dict[str, Any]]:
    """Letters of a state, by the id of the record that each holds."""
    found = document(rig.metal("deadletter", "list", run, "--state", state, "--json"))["letters"]
    shown = [document(rig.metal("deadletter", "show", run, letter["id"], "--json")) for letter in found]
    return {letter["record"]["id"]: letter for letter in shown}


def counted(rig: Rig, run: str) -> dict[str, int]:
    """The table's counts, which add up whenever they are looked at."""
    counts = rig.report(run)["tables"]["person"]
    accounted = counts["prepared"] + counts["merged"] + counts["rejected"] + sum(counts["dropped"].values())
    assert counts["read"] == accounted, counts
    return {name: counts[name] for name in ("read", "prepared", "merged", "rejected")}


def prepared(rig: Rig, run: str) -> list[dict[str, Any]]:
    return sorted(rig.rows(run, "person"), key=lambda row: int(row["id"]))


def ended(rig: Rig, run: str) -> bool:
    return bool(rig.query("SELECT ended_at FROM metal.runs WHERE run = %s", run)[0]["ended_at"])


def replay(rig: Rig, run: str, letter: str, *changes: str) -> None:
    sets = [part for change in changes for part in ("--set", change)]
    assert document(rig.metal("deadletter", "replay", run, letter, *sets, "--json"))["replayed"] == 1


def begin(rig: Rig, folder: Path, name: str, mode: str = "snapshot") -> str:
    (folder / "crm.csv").write_text(CRM)
    (folder / "erp.jsonl").write_text("".join(json.dumps(record) + "\n" for record in ERP))
    task = folder / f"{name}.task.yaml"
    told = TASK.replace("task: replayed", f"task: {name}")
    task.write_text(told if mode == "snapshot" else told.replace("mode: snapshot", "mode: continuous\nepoch: 0.3"))
    return rig.start(task)


def test_a_corrected_record_stands_where_it_would_have_stood(rig: Rig, tmp_path: Path) -> None:
    run = begin(rig, tmp_path, "replayed")
    rig.wait(run)
    assert prepared(rig, run) == [OLD, CLEO]
    assert counted(rig, run) == {"read": 5, "prepared": 2, "merged": 0, "rejected": 3}
    opened = letters(rig, run)
    assert {n: (one["rule"], one["column"]) for n, one in opened.items()} == {
        1: ("type", "age"),
        2: ("one_of", "plan"),
        4: ("type", "age"),
    }
    told = {"id": 1, "name": "Ada", "email": " ADA@X.ORG ", "age": "forty", "city": None, "plan": "free"}
    assert opened[1]["record"] == told
    assert opened[4]["record"] == ERP[1]
    assert opened[1]["position"]["line"] == 2

    replay(rig, run, opened[1]["id"], "age=41")
    eventually(lambda: prepared(rig, run) == [CORRECTED, CLEO], 30, "the corrected record is prepared")
    assert counted(rig, run) == {"read": 6, "prepared": 2, "merged": 1, "rejected": 3}
    assert not ended(rig, run)

    replay(rig, run, opened[4]["id"], "age=older")
    eventually(lambda: letters(rig, run).get(4, opened[4])["id"] != opened[4]["id"], 30, "it comes back")
    again = letters(rig, run)[4]
    assert (again["rule"], again["column"], again["record"]) == ("type", "age", ERP[1] | {"age": "older"})
    assert counted(rig, run) == {"read": 7, "prepared": 2, "merged": 1, "rejected": 4}

    rest = document(rig.metal("deadletter", "discard", run, "--all", "--json"))
    assert rest["discarded"] == 2
    assert ended(rig, run)
    assert prepared(rig, run) == [CORRECTED, CLEO]
    refused = rig.metal("deadletter", "show", run, again["id"])
    assert refused.returncode == 2, "a run that has ended keeps no record that could be shown"


def test_the_last_correction_ends_the_run(rig: Rig, tmp_path: Path) -> None:
    run = begin(rig, tmp_path, "corrected")
    rig.wait(run)
    opened = letters(rig, run)
    for number, change in ((2, "plan=paid"), (1, "age=41"), (4, "age=77")):
        assert not ended(rig, run)
        replay(rig, run, opened[number]["id"], change)
    eventually(lambda: ended(rig, run), 30, "the run ends by itself")
    ben = {"id": 2, "name": None, "email": "ben@x.org", "age": 100, "city": "Oslo", "plan": "paid"}
    dan = {"id": 4, "name": None, "email": "dan@x.org", "age": 70, "city": "Graz", "plan": "free"}
    assert prepared(rig, run) == [CORRECTED, ben, CLEO, dan]
    assert counted(rig, run) == {"read": 8, "prepared": 4, "merged": 1, "rejected": 3}


def test_a_continuous_run_takes_a_correction_in(rig: Rig, tmp_path: Path) -> None:
    run = begin(rig, tmp_path, "followed", "continuous")
    eventually(lambda: prepared(rig, run) == [OLD, CLEO], 30, "what could be read is prepared")
    eventually(lambda: len(letters(rig, run)) == 3, 30, "three letters")
    replay(rig, run, letters(rig, run)[1]["id"], "age=41")
    eventually(lambda: prepared(rig, run) == [CORRECTED, CLEO], 30, "the corrected record is prepared")
    with (tmp_path / "crm.csv").open("a") as file:
        file.write("5,Eva,eva@x.org,18,Wien,free\n")
    eva = {"id": 5, "name": None, "email": "eva@x.org", "age": 10, "city": "Wien", "plan": "free"}
    eventually(lambda: prepared(rig, run) == [CORRECTED, CLEO, eva], 30, "the run goes on")
    assert counted(rig, run) == {"read": 7, "prepared": 3, "merged": 1, "rejected": 3}
    replay(rig, run, letters(rig, run)[2]["id"], "plan=gone")
    eventually(lambda: counted(rig, run)["rejected"] == 4, 30, "it is rejected again")
    eventually(lambda: letters(rig, run)[2]["record"]["plan"] == "gone", 30, "it comes back")
    assert not ended(rig, run)
