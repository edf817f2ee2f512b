"""The attacks by a judge from outside: its committed figures say what they claim, and what it is handed is the release.

It runs in an environment of its own, so what is looked at here is what goes in and what came out.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks.checkers import arx_tables, releases
from benchmarks.checkers.arx_optimum import read
from tests.faults.rig import REPOSITORY

CHECKERS = REPOSITORY / "benchmarks" / "checkers"
KINDS = ("linkage", "singling_out", "inference")
TOLD: dict[str, Any] = json.loads((CHECKERS / "attacks.json").read_text(encoding="utf-8"))


def settings() -> dict[str, Any]:
    """The constants of the script that asks: it can't be imported without what it asks."""
    tree = ast.parse((CHECKERS / "anonymeter_values.py").read_text(encoding="utf-8"))
    named = {node.target.id: node.value for node in tree.body if isinstance(node, ast.AnnAssign) and node.value}  # type: ignore[union-attr]  # all of them are plain names
    return {name: ast.literal_eval(one) for name, one in named.items() if name.isupper() and name != "ATTACKED"}


def test_the_figures_are_of_the_same_table_and_of_what_is_locked() -> None:
    others = json.loads((CHECKERS / "adult.json").read_text(encoding="utf-8"))
    assert TOLD["sha256_of_adult_csv"] == others["sha256_of_adult_csv"]
    lock = (CHECKERS / "anonymeter.lock").read_text(encoding="utf-8")
    assert f"{TOLD['by'].replace(' ', '==')} \\\n    --hash=sha256:" in lock


def test_every_attack_that_the_script_makes_is_told() -> None:
    asked = settings()
    cases = [case["case"] for case in TOLD["cases"]]
    assert len(cases) == len(set(cases)) == 7
    for case in cases:
        linkage, singling_out, inference = ([one for one in TOLD[kind] if one["case"] == case] for kind in KINDS)
        splits = {json.dumps(one["columns"]) for one in linkage}
        assert len(splits) == len(asked["SPLITS"]) + asked["DRAWN_SPLITS"]
        assert sorted(one["neighbours"] for one in linkage) == sorted(asked["NEIGHBOURS"] * len(splits))
        assert [one["columns_of_a_query"] for one in singling_out] == [1, *asked["COLUMNS_OF_A_QUERY"]]
        assert len({one["secret"] for one in inference}) == 9
        for one in (*linkage, *singling_out, *inference):
            assert one["attacks"] in (asked["ATTACKS"], asked["LINKS"])
            assert one["interval"][0] <= one["risk"] <= one["interval"][1]
            assert all(0 <= one[rate] <= 1 for rate in ("success", "baseline", "control"))


def test_the_worst_is_the_worst_and_linkage_keeps_its_bound() -> None:
    for kind in KINDS:
        assert TOLD["worst"][kind] in TOLD[kind]
        assert TOLD["worst"][kind]["interval"][1] == max(one["interval"][1] for one in TOLD[kind])
    assert TOLD["worst"]["linkage"]["interval"][1] <= settings()["TARGET"] == 0.1
    assert all(TOLD["target"]["met"].values())


def test_what_was_attacked_kept_its_k() -> None:
    for case in TOLD["cases"]:
        assert case["k_reached"] >= case["k"]
        assert case["rows"] + case["suppressed"] == TOLD["rows"]["released"]
        assert case["k"] == (releases.K_FULL_DOMAIN if case["case"].startswith("full") else releases.K_MONDRIAN)


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Of a small census what the judge is handed."""
    adult, folder = tmp_path_factory.mktemp("adult"), tmp_path_factory.mktemp("tables")
    arx_tables.write(adult)
    lines = (adult / "adult.csv").read_text(encoding="utf-8").splitlines()
    (adult / "adult.csv").write_text("\n".join(lines[:2_001]) + "\n", encoding="utf-8")
    releases.write(adult, folder)
    found: dict[str, Any] = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    return folder, found


def test_what_is_handed_over(handed: tuple[Path, dict[str, Any]]) -> None:
    folder, told = handed
    assert [case["case"] for case in told["cases"]] == [case["case"] for case in TOLD["cases"]]
    for case in told["cases"]:
        original, control, release = (
            pl.read_csv(folder / case["files"][part], infer_schema=False) for part in ("original", "control", "release")
        )
        assert (original.height, control.height) == (1_500, 500)
        assert original.columns == control.columns == release.columns
        assert case["k_reached"] >= case["k"]
        if case["case"].endswith("drawn"):
            assert release.height == case["rows"]
        else:
            assert release.n_unique() == release.height == case["written_rows"]
        ages = {str(age) for age in range(100)} if "levels" not in case["case"] else set(release["age"])
        assert set(release["age"]) <= ages
        known = pl.concat([original, control])
        for name in release.columns[2:]:
            assert set(release[name]) <= set(known[name])


def test_a_drawn_value_is_one_that_its_group_stands_for(handed: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, told = handed
    arx_tables.write(tmp_path)
    (tmp_path / "adult.csv").write_bytes(
        (folder / told["cases"][0]["files"]["original"]).read_bytes().replace(b",", b";")
    )
    table, levels = read(tmp_path)
    trees = {name: releases._tree(tmp_path / f"adult_hierarchy_{name}.csv") for name in table.columns}
    for release in releases.releases(table, levels, trees):
        drawn = releases.values(release.frame, table, trees, "drawn")
        for name in table.columns:
            seen = pl.DataFrame([release.frame[name].alias("group"), drawn[name].alias("value")]).unique()
            for group, value in seen.iter_rows():
                assert value in releases.leaves_of(group, table[name].unique().to_list(), trees[name])


def test_what_a_published_cell_may_stand_for() -> None:
    rows = [["red", "warm", "*"], ["orange", "warm", "*"], ["blue", "cold", "*"]]
    values = ["blue", "orange", "red"]
    assert releases.leaves_of("warm", values, rows) == ["orange", "red"]
    assert releases.leaves_of("blue|red", values, []) == ["blue", "red"]
    assert releases.leaves_of("*", values, rows) == values
    assert releases.leaves_of("8..11", ["11", "12", "7", "9"], []) == ["11", "9"]
    with pytest.raises(SystemExit, match="green stands for no value"):
        releases.leaves_of("green", values, rows)


def test_frequent_values_are_guessed_and_equal_rows_stand_once() -> None:
    table = pl.DataFrame({"age": ["30", "34", "39"], "colour": ["red", "red", "blue"]})
    release = pl.DataFrame({"age": ["30..39"] * 3, "colour": ["blue|red"] * 3})
    assert releases.values(release, table, {}, "groups").rows() == [("34", "red")]
