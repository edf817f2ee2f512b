"""Groups of k through the whole engine: what is prepared keeps them, also while records come, change and go."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pytest

from control_api.cli.verifying import verify_files
from tests.faults.rig import Rig, eventually
from tests.oracle import prepare
from tests.oracle.prepare import load_task

pytestmark = pytest.mark.stack

TASK = """
task: {name}
mode: {mode}
tables:
  person:
    columns:
      id:   {{type: int64}}
      seq:  {{type: int64}}
      who:  {{type: string}}
      age:  {{type: int64}}
      city: {{type: string}}
      ill:  {{type: string}}
    primary_key: {{column: id, conflicts: {{prefer: [feed]}}}}
    sources:
      feed: {{connector: jsonl, path: person.jsonl, changes: {{order_by: seq, delete: {{column: op, equals: d}}}}}}
    anonymize:
      - method: generalize
        quasi_identifiers: [age, city]
        k: 4
        subject: who
        l: [{{column: ill, l: {l}}}]
        grain: {{age: {{step: 5}}}}
"""


class Feed:
    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw, self.seq = folder, Random(seed), 0
        (folder / "person.jsonl").touch()

    def task(self, name: str, mode: str, l: int = 2) -> Path:  # noqa: E741
        path = self.folder / f"{name}.task.yaml"
        path.write_text(TASK.format(name=name, mode="continuous\nepoch: 0.3" if mode == "continuous" else mode, l=l))
        return path

    def tell(self, people: range, op: str = "u") -> None:
        with (self.folder / "person.jsonl").open("a") as file:
            for person in people:
                self.seq += 1
                record = {"id": person, "seq": self.seq, "op": op, "who": f"p{person // 2}", **self._values()}
                file.write(json.dumps(record) + "\n")

    def _values(self) -> dict[str, Any]:
        city = self.draw.choice(["Oslo", "Rome", "Bonn", None])
        return {"age": self.draw.randrange(18, 90), "city": city, "ill": self.draw.choice(["flu", "cold", "none"])}


def groups(rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """(how many people, how many illnesses) of each group."""
    found: defaultdict[tuple[Any, Any], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["age"], row["city"]].append(row)
    return [(len({r["who"] for r in group}), len({r["ill"] for r in group})) for group in found.values()]


def test_groups_follow_records_that_come_change_and_go(rig: Rig, tmp_path: Path) -> None:
    feed = Feed(tmp_path, seed=3)
    feed.tell(range(6))  # three people, too few to be shown
    task = feed.task("groups", "continuous")
    run = rig.start(task)

    def held() -> bool:
        return bool(rig.report(run)["tables"]["person"]["dropped"] == {"generalize.suppressed": 6})

    eventually(held, 60, "six records are held back")
    assert rig.rows(run, "person") == []
    for people, op in ((range(6, 400), "u"), (range(50, 200), "u"), (range(300), "d"), (range(350, 700), "u")):
        feed.tell(people, op)
        rig.settles(run, lambda: prepare(load_task(task), tmp_path))
        rows = rig.rows(run, "person")
        assert rows
        assert all(people >= 4 and ills >= 2 for people, ills in groups(rows))
        assert len(groups(rows)) > 3


def test_a_snapshot_that_can_t_keep_its_groups_halts_and_says_what_could(rig: Rig, tmp_path: Path) -> None:
    feed = Feed(tmp_path, seed=4)
    feed.tell(range(300))
    run = rig.start(feed.task("infeasible", "snapshot", l=4))
    report = rig.wait(run, state="failed")
    assert "table person: no groups keep what is asked for" in report["reason"]
    assert "ill" in report["reason"]
    assert rig.rows(run, "person") == []
    again = rig.start(feed.task("feasible", "snapshot", l=3))
    rig.wait(again)
    rows = rig.rows(again, "person")
    assert len(rows) == 300
    assert all(people >= 4 and ills >= 3 for people, ills in groups(rows))


ANATOMY = """
task: {name}
mode: {mode}
tables:
  person:
    columns:
      id:   {{type: int64}}
      who:  {{type: string}}
      age:  {{type: int64}}
      city: {{type: string}}
      ill:  {{type: string}}
    primary_key: {{column: id, conflicts: {{prefer: [feed]}}}}
    sources:
      feed: {{connector: jsonl, path: person.jsonl, changes: {{order_by: seq, delete: {{column: op, equals: d}}}}}}
    anonymize:
      - {{method: anatomize, sensitive: ill, l: 2}}
"""


@pytest.mark.parametrize("mode", ["snapshot", "continuous"])
def test_what_is_sensitive_is_set_apart_in_a_table_of_its_own(rig: Rig, tmp_path: Path, mode: str) -> None:
    feed = Feed(tmp_path, seed=5)
    feed.tell(range(300))
    path = tmp_path / f"anatomy_{mode}.task.yaml"
    pace = "continuous\nepoch: 0.3" if mode == "continuous" else mode
    path.write_text(ANATOMY.format(name=f"anatomy_{mode}", mode=pace))
    run = rig.start(path)
    here = [range(300)]
    if mode == "continuous":
        _stands(rig, run, 300)
        feed.tell(range(100), "d")
        feed.tell(range(300, 420))
        here = [range(100, 420)]
        _stands(rig, run, 320)
    else:
        rig.wait(run)
    rows, beside = rig.rows(run, "person"), rig.rows(run, "person_ill")
    assert sorted(row["id"] for row in rows) == sorted(n for part in here for n in part)
    assert all(set(row) == {"id", "who", "age", "city", "group"} for row in rows)
    assert sum(row["count"] for row in beside) == len(rows)
    values: defaultdict[int, set[str]] = defaultdict(set)
    for row in beside:
        values[row["group"]].add(row["ill"])
    assert {row["group"] for row in rows} == set(values)
    assert all(len(found) >= 2 for found in values.values())
    assert rig.report(run)["tables"]["person_ill"]["prepared"] == len(beside)


def _stands(rig: Rig, run: str, people: int) -> None:
    def there() -> bool:
        rows, beside = rig.rows(run, "person"), rig.rows(run, "person_ill")
        return len(rows) == people == sum(row["count"] for row in beside)

    eventually(there, 60, f"{people} people are prepared")


SUPPRESSED = """
task: rare
mode: snapshot
tables:
  person:
    columns:
      id:   {type: int64}
      city: {type: string}
      age:  {type: int64}
    sources: {feed: {connector: jsonl, path: person.jsonl}}
    anonymize:
      - {method: suppress, columns: [city], rarer_than: 3, records: true, limit: 0.5}
      - {method: generalize, columns: {age: {step: 10}}}
"""


def test_records_with_rare_values_are_left_out_and_counted(rig: Rig, tmp_path: Path) -> None:
    cities = ["Oslo"] * 5 + ["Rome"] * 2 + ["Bonn"] * 3
    with (tmp_path / "person.jsonl").open("w") as file:
        for n, city in enumerate(cities):
            file.write(json.dumps({"id": n, "city": city, "age": 30 + n}) + "\n")
    path = tmp_path / "rare.task.yaml"
    path.write_text(SUPPRESSED)
    run = rig.start(path)
    report = rig.wait(run)
    counts = report["tables"]["person"]
    assert (counts["read"], counts["prepared"], counts["dropped"]) == (10, 8, {"suppress.suppressed": 2})
    assert sorted(row["city"] for row in rig.rows(run, "person")) == ["Bonn"] * 3 + ["Oslo"] * 5
    assert {row["age"] for row in rig.rows(run, "person")} == {30}


LEVELS = """
task: levels
mode: snapshot
tables:
  citizen:
    columns:
      id:   {type: int64}
      age:  {type: int64}
      city: {type: string}
    sources: {register: {connector: jsonl, path: citizen.jsonl}}
    anonymize:
      - {method: suppress, where: "true", records: true}
  person:
    columns:
      id:   {type: int64}
      age:  {type: int64}
      city: {type: string}
      ill:  {type: string}
    sources: {clinic: {connector: jsonl, path: person.jsonl}}
    anonymize:
      - {method: suppress, columns: [ill], rarer_than: 5, records: true, limit: 0.1}
      - method: generalize
        quasi_identifiers: [age, city]
        search: full_domain
        k: 4
        l: [{column: ill, l: 2}]
        presence: {population: {table: citizen}, delta: [0, 0.4]}
        grain: {age: {steps: [5, 10, 20, 40]}, city: {hierarchy: cities.csv}}
        suppression_limit: 0.1
  ward:
    columns:
      id:   {type: int64}
      age:  {type: int64}
      city: {type: string}
    sources: {clinic: {connector: jsonl, path: person.jsonl}}
    anonymize:
      - method: generalize
        quasi_identifiers: [age, city]
        k: 4
        presence: {population: {table: citizen}, delta: [0.1, 0.45]}
        grain: {age: {step: 1}, city: {hierarchy: cities.csv}}
"""
NORTH = {"Oslo": "Norway", "Bergen": "Norway", "Malmo": "Sweden"}


def test_levels_keep_people_of_a_population_unsure_and_are_certified(rig: Rig, tmp_path: Path) -> None:
    draw = Random(6)
    citizens = [{"id": n, "age": draw.randrange(18, 90), "city": draw.choice(list(NORTH))} for n in range(1500)]
    # whoever is old is ill more often, so ages have to be told coarsely for nobody to be there too surely
    there = [one for one in citizens if draw.random() < one["age"] / 200]
    ills = ["plague" if n < 3 else draw.choice(["flu", "cold", "none"]) for n in range(len(there))]
    people = [{**one, "ill": ill} for one, ill in zip(there, ills, strict=True)]
    for name, rows in (("citizen", citizens), ("person", people)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "cities.csv").write_text("".join(f"{city};{country};North\n" for city, country in NORTH.items()))
    path = tmp_path / "levels.task.yaml"
    path.write_text(LEVELS)
    run = rig.start(path)
    counts = rig.wait(run)["tables"]["person"]
    published = rig.rows(run, "person")
    assert rig.rows(run, "citizen") == []
    assert counts["dropped"]["suppress.suppressed"] == 3
    assert counts["read"] == len(people) == len(published) + sum(counts["dropped"].values())
    found: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in published:
        found[row["age"], row["city"]].append(row)
    shares = []
    for (ages, place), group in found.items():
        low, high = (int(bound) for bound in ages.split("..")) if ages != "*" else (0, 99)
        known = [one for one in citizens if low <= one["age"] <= high and place in _places(one["city"])]
        assert len(group) >= 4
        assert len({row["ill"] for row in group}) >= 2
        shares.append(len(group) / len(known))
    assert max(shares) <= 0.4
    assert len(found) > 1
    assert len({len(_span(ages)) for ages, _ in found}) == 1, "one level for all"
    _check_ward(rig, run, citizens, len(people))
    document = rig.call("POST", f"/runs/{run}/outbox/person/certificate")
    cert, data = tmp_path / "cert.json", tmp_path / "person.jsonl"
    cert.write_text(json.dumps(document))
    data.write_text("".join(json.dumps(row) + "\n" for row in published))
    assert verify_files(cert, [data], None).mismatches == []
    (guarantee,) = document["guarantees"]
    assert guarantee["requested"]["presence"]["most"] == 0.4
    reached = guarantee["reached"]["presence"]
    assert (reached["least"], reached["most"]) == (min(shares), max(shares))
    assert guarantee["reached"]["k"] == min(map(len, found.values()))
    assert 0 < guarantee["loss"]["ncp"] < 1


def _check_ward(rig: Rig, run: str, citizens: list[dict[str, Any]], people: int) -> None:
    """By Mondrian everyone stands in one group, and each has its share of those whom its texts cover."""
    found: defaultdict[tuple[str, str], int] = defaultdict(int)
    for row in rig.rows(run, "ward"):
        found[row["age"], row["city"]] += 1
    assert sum(found.values()) == people
    known: defaultdict[tuple[str, str], int] = defaultdict(int)
    for one in citizens:
        (own,) = [
            (ages, place)
            for ages, place in found
            if one["age"] in _span(ages if ".." in ages else f"{ages}..{ages}") and place in _places(one["city"])
        ]
        known[own] += 1
    shares = [count / known[texts] for texts, count in found.items()]
    assert len(shares) > 10
    assert 0.1 <= min(shares) < max(shares) <= 0.45
    (guarantee,) = rig.call("POST", f"/runs/{run}/outbox/ward/certificate")["guarantees"]
    told = {"population": "citizen", "least": min(shares), "most": max(shares), "evidence": "run"}
    assert guarantee["reached"]["presence"] == told


def _places(city: str) -> tuple[str, str, str]:
    return city, NORTH[city], "North"


def _span(ages: str) -> range:
    low, _, high = ages.partition("..")
    return range(int(low), int(high) + 1) if high else range(0)


def test_what_the_data_can_t_keep_is_refused_before_there_is_a_run(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "too_few.task.yaml"
    text = SUPPRESSED.replace("task: rare", "task: too_few").replace(
        "{method: suppress, columns: [city], rarer_than: 3, records: true, limit: 0.5}",
        "{method: generalize, quasi_identifiers: [city], k: 10}",
    )
    path.write_text(text)
    rows = [json.dumps({"id": n, "city": "Oslo", "age": 30}) for n in range(9)]
    (tmp_path / "person.jsonl").write_text("\n".join(rows))
    told = f"{path}:12: tables.person.anonymize[0].k: is 10, more than the 9 records there are; give k of at most 9"
    for command in (("run", str(path), "--wait"), ("task", "lint", "--sources", str(path))):
        refused = rig.metal(*command)
        assert refused.returncode == 2, refused
        assert told in refused.stderr
    again = rig.metal("task", "start", "too_few")
    assert again.returncode == 2
    assert told.replace(str(path), "too_few, version 1") in again.stderr
    assert rig.query("SELECT run FROM metal.runs WHERE task = 'too_few'") == []
    path.write_text(text.replace("k: 10", "k: 9"))
    assert rig.wait(rig.start(path))["tables"]["person"]["prepared"] == 9
