"""Small groups of aggregates through the whole engine: withheld, taken back, shown again, certified; none leaks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from control_api.cli.verifying import verify_files
from tests.faults.rig import Rig, eventually
from tests.oracle import prepare
from tests.oracle.prepare import load_task

pytestmark = pytest.mark.stack

SALE = """
  sale:
    columns:
      id:   {type: int64}
      seq:  {type: int64}
      who:  {type: string}
      city: {type: string}
      day:  {type: date}
    primary_key: {column: id, conflicts: {prefer: [feed]}}
    sources:
      feed: {connector: jsonl, path: sale.jsonl, changes: {order_by: seq, delete: {column: op, equals: d}}}
"""
SNAPSHOT = f"""
task: cities
tables: {SALE}
  both:
    from: {{sale: {{}}}}
    transform: [{{aggregate: {{by: [sale.city, sale.day], columns: {{sales: "count(*)"}}}}}}]
  city:
    from: {{sale: {{}}}}
    transform: [{{aggregate: {{by: [sale.city], columns: {{sales: "count(*)"}}}}}}]
  all:
    from: {{city: {{}}}}
    transform: [{{aggregate: {{columns: {{cities: "count(*)", sales: "sum(city.sales)"}}}}}}]
  people:
    from: {{sale: {{}}}}
    transform:
      - aggregate:
          by: [sale.day]
          columns: {{sales: "count(*)"}}
          small_groups: {{k: 6, subject: sale.who, then: merge, levels: [{{day: {{unit: month}}}}]}}
  nation:
    from: {{sale: {{}}}}
    transform:
      - aggregate:
          by: [sale.city]
          columns: {{sales: "count(*)"}}
          small_groups: {{then: merge, levels: [{{city: {{hierarchy: city.csv, level: 1}}}}]}}
  open:
    from: {{sale: {{}}}}
    transform: [{{aggregate: {{by: [sale.who], columns: {{sales: "count(*)"}}, small_groups: publish}}}}]
"""
CONTINUOUS = f"""
task: counted
mode: continuous
epoch: 0.3
tables: {SALE}
  city:
    from: {{sale: {{}}}}
    transform: [{{aggregate: {{by: [sale.city], columns: {{sales: "count(*)"}}, small_groups: {{subject: sale.who}}}}}}]
"""


def tell(folder: Path, rows: list[dict[str, Any]]) -> None:
    with (folder / "sale.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def sales(city: str, many: range, seq: int = 0, op: str = "u", day: int = 1) -> list[dict[str, Any]]:
    own = {"seq": seq, "op": op, "city": city, "day": f"2024-02-{day:02}"}
    return [{"id": n, "who": f"p{n % 9}", **own} for n in many]


def test_small_groups_of_a_snapshot_are_neither_told_nor_told_by_others(rig: Rig, tmp_path: Path) -> None:
    tell(tmp_path, sales("Oslo", range(20)) + sales("Oslo", range(20, 23), day=2) + sales("Oslo", range(30, 40), day=3))
    tell(tmp_path, sales("Rome", range(50, 70)) + sales("Hiddenville", range(80, 83), day=2))
    (tmp_path / "city.csv").write_text("Oslo;Norway\nRome;Italy\nHiddenville;Norway\n")
    path = tmp_path / "cities.task.yaml"
    path.write_text(SNAPSHOT)
    run = rig.start(path)
    tables = rig.wait(run)["tables"]
    rows = {name: rig.rows(run, name) for name in ("both", "city", "all", "people", "nation", "open")}
    shown = {(row["city"], row["day"].day): row["sales"] for row in rows["both"]}
    per_city: Counter[str] = Counter()
    for (city, _), count in shown.items():
        assert count >= 5
        per_city[city] += count
    assert {row["city"] for row in rows["city"]} <= {"Oslo", "Rome"}
    assert all(row["sales"] - per_city[row["city"]] not in range(1, 5) for row in rows["city"])
    assert [row["sales"] for row in rows["all"]] == [sum(row["sales"] for row in rows["city"])]
    assert all(row["sales"] >= 6 for row in rows["people"])
    assert {row["day"] for row in rows["people"]} <= {"2024-02", "2024-02-01", "2024-02-02", "2024-02-03"}
    assert {row["city"] for row in rows["nation"]} <= {"Oslo", "Norway", "Rome", "Italy"}
    assert len(rows["open"]) == 9
    for name in rows:
        counts = tables[name]
        assert set(counts["dropped"]) <= {"aggregate.small_group"}
        assert counts["prepared"] == len(rows[name])
        assert counts["read"] == counts["prepared"] + counts["merged"] + sum(counts["dropped"].values())
        assert set(counts) == {"read", "prepared", "merged", "rejected", "dropped"}  # never why
    documents = {name: _certified(rig, run, name, tmp_path) for name in rows}
    assert all(len(rows[name]) == one["published"] for name, one in documents.items())
    assert documents["both"]["withheld"]["small"] == 2
    assert documents["both"]["withheld"]["groups"] == 5 - len(rows["both"])
    assert (documents["both"]["k"], documents["both"]["beside"]) == (5, ["open"])
    assert documents["both"]["fewest"] == min(shown.values())
    assert (documents["people"]["smallGroups"], documents["people"]["subject"]) == ("merge", "sale.who")
    assert documents["nation"]["parameters"] == {
        "levels": [{"city": {"rows": [["Oslo", "Norway"], ["Rome", "Italy"], ["Hiddenville", "Norway"]], "level": 1}}]
    }
    assert documents["open"]["smallGroups"] == "publish"
    assert (documents["all"]["smallGroups"], documents["all"]["of"]) == ("inherit", "city")


def _certified(rig: Rig, run: str, table: str, folder: Path) -> dict[str, Any]:
    """What the certificate says of groups, after it was checked against what is exported."""
    document = rig.call("POST", f"/runs/{run}/outbox/{table}/certificate")
    cert, data = folder / f"{table}.cert.json", folder / f"{table}.jsonl"
    cert.write_text(json.dumps(document))
    columns = [one["name"] for one in document["release"]["columns"]]
    lines = [{name: row[name] for name in columns} for row in rig.rows(run, table)]

    def write(*rows: dict[str, Any]) -> None:
        data.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))

    write(*lines)
    assert verify_files(cert, [data], None).mismatches == []
    if "counted" in document["groups"]:
        write({**lines[0], document["groups"]["counted"]: 1}, *lines[1:])
        assert "groups" in {one.kind for one in verify_files(cert, [data], None).mismatches}
    groups: dict[str, Any] = document["groups"]
    return groups


def test_groups_are_taken_back_when_they_fall_below_and_shown_when_they_reach(rig: Rig, tmp_path: Path) -> None:
    tell(tmp_path, sales("Oslo", range(4)) + sales("Rome", range(20, 40)) + sales("Bonn", range(900, 981, 9)))
    path = tmp_path / "counted.task.yaml"
    path.write_text(CONTINUOUS)
    run = rig.start(path)

    def dropped() -> int:
        return int(rig.report(run)["tables"]["city"]["dropped"].get("aggregate.small_group", 0))

    eventually(lambda: dropped() == 13, 60, "four of Oslo and nine records of one person in Bonn are withheld")
    assert [row["city"] for row in rig.rows(run, "city")] == ["Rome"]
    tell(tmp_path, sales("Oslo", range(4, 9), seq=1))
    eventually(lambda: len(rig.rows(run, "city")) == 2, 30, "Oslo has reached five people")
    tell(tmp_path, sales("Rome", range(20, 37), seq=2, op="d"))
    eventually(lambda: [row["city"] for row in rig.rows(run, "city")] == ["Oslo"], 30, "Rome has fallen below")
    tell(tmp_path, sales("Rome", range(20, 30), seq=3) + sales("Oslo", range(3), seq=3, op="d"))
    rig.settles(run, lambda: prepare(load_task(path), tmp_path))
    assert {row["city"]: row["sales"] for row in rig.rows(run, "city")} == {"Rome": 13, "Oslo": 6}
    assert dropped() == 9
