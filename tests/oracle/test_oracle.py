"""The oracle against cases small enough to be done in the head."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import people, shop
from tests.oracle import Oracle, differences, prepare
from tests.oracle.expressions import compile
from tests.oracle.reading import csv_fields

TASK = """
task: t
tables:
  a:
    columns:
      id: {type: int64}
      v: {type: string, normalize: [trim], empty: {replace: none}}
      n: {type: float64, range: {min: 1, max: 9, outside: drop}}
    primary_key: {column: id, conflicts: CONFLICTS}
    sources: {x: {connector: given}, y: {connector: given}}
"""
X = [
    {"id": 1, "v": " p ", "n": 2.0},
    {"id": 1, "v": "p", "n": 2},
    {"id": 2, "v": "b", "n": 3.0},
    {"id": 2, "v": None, "n": 0.5},
    {"id": "three"},
    None,
    {"v": "no key"},
]
Y = [{"id": 2, "v": "a", "n": 3.0}, {"id": 4, "v": "", "n": None}]


def oracle(conflicts: str, **given: list[Any]) -> Oracle:
    task = yaml.safe_load(TASK.replace("CONFLICTS", conflicts))
    return prepare(task, Path(), {"a/x": given.get("x", X), "a/y": given.get("y", Y)})


@pytest.mark.parametrize(
    ("conflicts", "second", "merged", "dropped"),
    [
        ("{prefer: [y, x]}", ["a"], 2, {}),
        ("{prefer: [x, y]}", ["b"], 2, {}),
        ("drop_all", [], 1, {"primary_key.conflict": 2}),
    ],
)
def test_conflicts(conflicts: str, second: list[str], merged: int, dropped: dict[str, int]) -> None:
    answer = oracle(conflicts).tables["a"]
    assert sorted(row["v"] for row in answer.rows) == sorted(["p", *second, "none"])
    assert (answer.read, answer.merged, answer.rejected) == (9, merged, 3)
    assert answer.dropped == {"n.range": 1, **dropped}
    assert answer.balanced


def test_keep_all_gives_new_keys() -> None:
    answer = oracle("keep_all").tables["a"]
    assert sorted(row["v"] for row in answer.regenerated) == ["a", "b"]
    assert all(row["id"] is None for row in answer.regenerated)
    assert answer.prepared == 4


def test_within_one_source_the_smallest_wins() -> None:
    rows = [{"id": 1, "v": "z", "n": 2}, {"id": 1, "v": "ä", "n": 1}, {"id": 1, "v": "z", "n": None}]
    assert oracle("{prefer: [x]}", x=rows, y=[]).tables["a"].rows == [{"id": 1, "v": "z", "n": None}]


def test_what_is_suppressed_does_not_decide_within_one_source() -> None:
    rows = [{"id": 1, "v": "a", "n": 5}, {"id": 1, "v": "b", "n": 2}]
    for methods, n in (([], 5), ([{"method": "suppress", "columns": ["v"]}], 2)):
        task = yaml.safe_load(TASK.replace("CONFLICTS", "{prefer: [x, y]}"))
        task["tables"]["a"]["anonymize"] = methods
        assert [row["n"] for row in prepare(task, Path(), {"a/x": rows, "a/y": []}).tables["a"].rows] == [n]


def test_changes_follow_the_last() -> None:
    task = yaml.safe_load(TASK.replace("CONFLICTS", "{prefer: [x, y]}"))
    task["tables"]["a"]["sources"]["x"]["changes"] = {"order_by": "seq", "delete": {"column": "op", "equals": "d"}}
    x = [
        {"id": 1, "v": "new", "n": 5, "seq": 2},
        {"id": 1, "v": "old", "n": 5, "seq": 1},
        {"id": 2, "v": "gone", "n": 5, "seq": 1},
        {"id": 2, "op": "d", "seq": 3},
    ]
    answer = prepare(task, Path(), {"a/x": x, "a/y": [{"id": 2, "v": "y", "n": 1}]}).tables["a"]
    assert sorted((row["id"], row["v"]) for row in answer.rows) == [(1, "new"), (2, "y")]
    assert (answer.read, answer.merged) == (5, 3)


def test_a_change_that_falls_withdraws_what_it_replaces() -> None:
    task = yaml.safe_load(TASK.replace("CONFLICTS", "{prefer: [x, y]}"))
    task["tables"]["a"]["sources"]["x"]["changes"] = True
    x = [
        {"id": 1, "v": "p", "n": 5},
        {"id": 1, "v": "q", "n": 0},
        {"id": 2, "v": "r", "n": 0},
        {"id": 2, "v": "s", "n": 5},
    ]
    answer = prepare(task, Path(), {"a/x": x, "a/y": []}).tables["a"]
    assert [row["v"] for row in answer.rows] == ["s"]
    assert (answer.read, answer.merged, answer.dropped) == (4, 1, {"n.range": 2})


def test_a_change_that_cannot_be_read_withdraws_what_it_replaces_if_its_key_can() -> None:
    task = yaml.safe_load(TASK.replace("CONFLICTS", "{prefer: [x, y]}"))
    x = [{"id": n, "v": "old", "n": 5, "seq": n} for n in range(1, 6)]
    x += [{"id": 1, "v": "new", "n": "five", "seq": 11}, {"id": "two", "v": "new", "n": 5, "seq": 12}, None]
    x += [{"id": 3, "v": "new", "n": "five"}, {"id": 4, "v": "new", "n": "five", "seq": "later"}]
    x += [{"id": 5, "v": "new", "n": "five", "seq": 15}, {"id": 5, "v": "last", "n": 5, "seq": 16}]
    for changes, stands in (({"order_by": "seq"}, {2, 3, 4, 5}), (True, {2, 5})):
        task["tables"]["a"]["sources"]["x"]["changes"] = changes
        answer = prepare(task, Path(), {"a/x": x, "a/y": []}).tables["a"]
        assert {row["id"] for row in answer.rows} == stands
        assert [row["v"] for row in answer.rows if row["id"] == 5] == ["last"]
        assert (answer.read, answer.rejected, answer.merged) == (12, 6, 6 - len(stands))


CHAIN = """
task: t
tables:
  a:
    columns: {id: {type: int64}, b: {type: int64, references: b.id}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {s: {connector: given}}
  b:
    columns: {id: {type: int64}, up: {type: int64, references: b.id}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {s: {connector: given}}
  c:
    from: {a: {join: {b: b}}}
    transform:
      - derive: {w: "a.id * b.id"}
      - aggregate: {by: [b.up], columns: {total: "sum(w)", n: "count(*)"}, small_groups: publish}
"""


def test_references_fall_in_chains_and_stand_in_cycles() -> None:
    b = [{"id": 1, "up": 1}, {"id": 2, "up": 3}, {"id": 3, "up": 2}, {"id": 4, "up": 9}, {"id": 5, "up": 4}]
    a = [{"id": n, "b": n} for n in range(1, 7)] + [{"id": 7, "b": None}]
    answer = prepare(yaml.safe_load(CHAIN), Path(), {"a/s": a, "b/s": b}).tables
    assert [row["id"] for row in answer["b"].rows] == [1, 2, 3]
    assert [row["id"] for row in answer["a"].rows] == [1, 2, 3, 7]
    assert answer["a"].dropped == {"b.references": 3}
    assert {row["up"]: (row["total"], row["n"]) for row in answer["c"].rows} == {1: (1, 1), 2: (9, 1), 3: (4, 1)}


SMALL = """
task: t
tables:
  a:
    columns: {id: {type: int64}, city: {type: string}, who: {type: string}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {s: {connector: given}}
  b:
    from: {a: {}}
    transform: [{aggregate: {by: [a.city], columns: {n: "count(*)"}RULE}}]
"""


@pytest.mark.parametrize(
    ("rule", "cities"),
    [
        ("", {"x", "y"}),
        (", small_groups: publish", {"x", "y", "z"}),
        (", small_groups: {k: 6}", {"y"}),
        (", small_groups: {k: 2, subject: a.who}", {"x", "z"}),
    ],
)
def test_small_groups_are_left_out(rule: str, cities: set[str]) -> None:
    people = [("x", n % 3) for n in range(5)] + [("y", 0)] * 6 + [("z", 1), ("z", None)]
    a = [{"id": n, "city": city, "who": None if who is None else str(who)} for n, (city, who) in enumerate(people)]
    answer = prepare(yaml.safe_load(SMALL.replace("RULE", rule)), Path(), {"a/s": a}).tables
    assert {row["city"] for row in answer["b"].rows} == cities


def test_csv_after_rfc_4180() -> None:
    text = 'a,b\r\n"x ""q""\n y",\r\n,z\n'
    assert list(csv_fields(text)) == [["a", "b"], ['x "q"\n y', ""], ["", "z"]]


def test_expressions() -> None:
    row = {"q": 3, "p": Decimal("1.5"), "none": None, "at": dt.datetime(2024, 2, 29, 23, tzinfo=dt.UTC)}
    assert compile("q * p + 1 > 5 and not q = 4")(row) is True
    assert compile("none > 1 or q < 0")(row) is None
    assert compile("cast(at as date)")(row) == dt.date(2024, 2, 29)
    assert compile("coalesce(none, q)")(row) == 3


def test_generated_data_holds_every_kind_of_trouble(tmp_path: Path) -> None:
    people.write(tmp_path / "data", 20_000, seed=3, mixed_ends=True)
    task = yaml.safe_load(PEOPLE)
    answer = prepare(task, tmp_path).tables["person"]
    assert answer.read == 20_000
    assert answer.merged > 1000
    assert 10 < answer.rejected < 100
    assert answer.dropped["salary.range"] > 100
    assert any(row["city"] == "unknown" for row in answer.rows)
    assert any("\n" in row["note"] for row in answer.rows)


def test_a_seed_names_its_data(tmp_path: Path) -> None:
    for name in ("one", "two"):
        people.write(tmp_path / name, 2_000, seed=7)
        shop.write(tmp_path / name, 500, seed=7)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 8
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


PEOPLE = """
task: people
tables:
  person:
    columns:
      id:     {type: int64}
      name:   {type: string}
      email:  {type: string, normalize: [trim, lower]}
      age:    {type: int64, range: {min: 0, max: 100, outside: clamp}}
      salary: {type: float64, range: {min: 10, outside: drop}}
      city:   {type: string, empty: {replace: unknown}}
      note:   {type: string}
    primary_key: {column: id, conflicts: {prefer: [crm, erp]}}
    sources:
      crm: {connector: csv, path: data/crm.csv}
      erp: {connector: csv, path: data/erp.csv}
    anonymize:
      - {method: suppress, columns: [name]}
      - {method: tokenize, columns: [email]}
      - {method: generalize, columns: {age: {step: 10}}}
      - {method: perturb, columns: {salary: {relative: 0.05}}}
"""


def _anonymized(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tokens: dict[Any, str] = {}
    return [
        {
            **row,
            "name": None,
            "email": row["email"] and tokens.setdefault(row["email"], f"t{len(tokens)}"),
            "age": None if row["age"] is None else row["age"] // 10 * 10,
            "salary": row["salary"] and row["salary"] * 1.03,
        }
        for row in rows
    ]


def _spoil(rows: list[dict[str, Any]], how: str) -> list[dict[str, Any]]:
    if how == "lost":
        return rows[1:]
    if how == "twice":
        return [*rows, rows[0]]
    row = dict(next(row for row in rows if row["salary"] and row["email"] and row["age"]))
    rows = [one for one in rows if one["id"] != row["id"]]
    row |= {"token": {"email": "t1"}, "far": {"salary": row["salary"] * 1.1}, "name": {"name": "x"}}.get(how, {})
    row |= {"age": {"age": row["age"] + 1}, "city": {"city": "?"}, "key": {"id": 10**9}}.get(how, {})
    return [*rows, row]


@pytest.mark.parametrize("how", ["lost", "twice", "token", "far", "name", "age", "city", "key"])
def test_differences_are_seen(tmp_path: Path, how: str) -> None:
    people.write(tmp_path / "data", 500, seed=5)
    answer = prepare(yaml.safe_load(PEOPLE), tmp_path)
    good = json.loads(json.dumps(_anonymized(answer.tables["person"].rows)))
    assert differences(answer, "person", good) == []
    assert differences(answer, "person", _spoil(good, how))
