"""`metal task preview`: the curve of a task's table, from its sources or from a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from control_api.cli.main import run as metal
from control_api.cli.previewing import draw_sample

TASK = """task: people
tables:
  person:
    columns:
      id: {type: int64}
      age: {type: int64, range: {min: 0, max: 99, outside: drop}}
      city: {type: string}
      ill: {type: string}
    primary_key: {column: id, conflicts: drop_all}
    sources:
      a: {connector: csv, path: a.csv}
      b: {connector: csv, path: b.csv}
    transform:
      - {filter: "age < 90"}
    anonymize:
      - {method: suppress, columns: [id]}
      - method: generalize
        quasi_identifiers: [age, city]
        k: 2
        subject: id
        l: [{column: ill, l: 2}]
        grain: {city: {hierarchy: cities.csv}}
  plain:
    columns:
      age: {type: int64}
      city: {type: string}
    primary_key: {column: age, conflicts: drop_all}
    sources:
      a: {connector: csv, path: a.csv}
"""
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    people = [(n, 20 + n % 50, ("Oslo", "Bergen", "Rome")[n % 3], "ab"[n % 2]) for n in range(300)]
    people += [(900, 500, "Oslo", "a"), (901, 95, "Oslo", "a")]  # one that a rule drops, one that a filter does
    frame = pl.DataFrame(people, schema=["id", "age", "city", "ill"], orient="row")
    frame.head(100).write_csv(tmp_path / "a.csv")
    frame.tail(-100).write_csv(tmp_path / "b.csv")
    (tmp_path / "cities.csv").write_text("Oslo;Norway;*\nBergen;Norway;*\nRome;Italy;*\n")
    path = tmp_path / "people.task.yaml"
    path.write_text(TASK)
    return path


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*arguments: str | Path) -> tuple[int, Any]:
        capsys.readouterr()
        code = metal(["task", "preview", *map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_the_sources_are_cleaned_and_grouped_as_a_run_would(ask: Ask, task: Path) -> None:
    code, found = ask(task, "--table", "person", "--k", "5", "--k", "30", "--k", "500")
    assert code == 0
    assert (found["sample"], found["population"], found["subject"]) == (300, 300, "id")
    five, thirty, refused = found["points"]
    assert five["reached"] >= 5
    assert thirty["reached"] >= 30
    assert 0 < five["ncp"] < thirty["ncp"] < 1
    assert five["prosecutor"] > thirty["prosecutor"]
    assert "give k of at most 300" in refused["refused"]


def test_levels_are_tried_as_a_run_would_and_without_a_population(ask: Ask, task: Path) -> None:
    by = "search: full_domain\n        presence: {population: {table: TABLE}, delta: [0, 0.5]}\n        k: 2"
    text = task.read_text().replace("k: 2", by)
    task.write_text(text.replace("TABLE", "plain"))
    code, found = ask(task, "--table", "person", "--k", "5", "--k", "100")
    assert code == 0
    five, hundred = found["points"]
    assert five["reached"] >= 5
    assert 0 < five["ncp"] < hundred["ncp"] <= 1
    task.write_text(text.replace("TABLE", "plane"))
    code, found = ask(task, "--table", "person", "--k", "5")
    assert code == 2
    assert "plane is no table of the task" in json.dumps(found)


def test_a_sample_is_a_sample(ask: Ask, task: Path) -> None:
    code, found = ask(task, "--table", "person", "--k", "2", "--sample", "60")
    assert (code, found["sample"], found["population"]) == (0, 60, 300)
    (two,) = found["points"]
    assert two["journalist"] == pytest.approx(two["prosecutor"] / 5)


def test_every_record_has_the_same_chance() -> None:
    pieces = (pl.DataFrame({"n": range(start, start + 500)}) for start in range(0, 10_000, 500))
    sample = draw_sample(pieces, 2_000, ["n"])
    assert (sample.population, sample.frame["n"].n_unique()) == (10_000, 2_000)
    early = int((sample.frame["n"] < 5_000).sum())
    assert 700 < early < 1_300  # 1,000 expected; so far off once in 10^40 times


def test_columns_may_be_tried_before_the_task_names_them(ask: Ask, task: Path, tmp_path: Path) -> None:
    code, found = ask(task, "--table", "plain", "--by", "age", "--by", "city", "--k", "3")
    assert (code, found["quasi_identifiers"], found["points"][0]["k"]) == (0, ["age", "city"], 3)
    assert ask(task, "--table", "person", "--by", "age", "--k", "2")[1]["quasi_identifiers"] == ["age"]
    code, found = ask(task, "--table", "person", "--by", "age", "--k", "2", "--data", tmp_path / "a.csv")
    assert (code, found["population"]) == (0, 100)


def test_the_curve_is_drawn_and_written(ask: Ask, task: Path, tmp_path: Path) -> None:
    curve = tmp_path / "curve"
    code, found = ask(task, "--table", "person", "--output", curve.with_suffix(".json"))
    assert (code, json.loads(curve.with_suffix(".json").read_bytes())["table"]) == (0, found["table"])
    assert [one["k"] for one in found["points"]] == [2, 3, 5, 10, 20, 50, 100]
    assert ask(task, "--table", "person", "--k", "2", "--output", curve.with_suffix(".svg"))[0] == 0
    assert curve.with_suffix(".svg").read_text().startswith("<svg ")


def test_people_get_a_table(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert metal(["task", "preview", str(task), "--table", "person", "--k", "5", "--k", "900"]) == 0
    said = capsys.readouterr()
    assert said.err == "300 of 300 records by id, grouped by age, city\n"
    assert "prosecutor" in said.out
    assert "give k of at most 300" in said.out


def test_what_is_wrong_is_2_and_says_what_is_right(ask: Ask, task: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("age,city\n")
    for arguments, right in (
        (("--table", "none"), "tables are person, plain"),
        (("--table", "plain"), "--by"),
        (("--table", "plain", "--by", "none"), "columns are"),
        (("--table", "person", "--by", "ill", "--by", "id"), "and sensitive"),
        (("--table", "plain", "--by", "age", "--data", tmp_path / "empty.csv"), "--data"),
        (("--table", "person", "--data", tmp_path / "empty.csv"), "lacks the columns id, ill"),
        (("--table", "person", "--output", "curve.png"), ".svg or .json"),
        (("--table", "person", "--output", tmp_path / "no" / "curve.svg"), "written to"),
    ):
        code, found = ask(task, *arguments)
        assert code == 2, arguments
        assert right in json.dumps(found), found
