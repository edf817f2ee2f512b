"""A record that fell behind the merge and is corrected: the correction takes its place, by whatever strategy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.rig import Rig, eventually

pytestmark = pytest.mark.stack

TABLE = """
  {name}:
    columns: {{id: {{type: int64}}, code: {{type: string, normalize: [trim]}}}}
    primary_key: {{column: id, conflicts: {conflicts}}}
    sources: {{crm: {{connector: csv, path: crm.csv, changes: {changes}}}}}
    transform: [{{derive: {{number: cast(code as int64)}}}}]
"""
TABLES = {
    "prefers": ("{prefer: [crm]}", "false"),
    "drops": ("drop_all", "false"),
    "keeps": ("keep_all", "false"),
    "changes": ("drop_all", "true"),
}
CRM = "id,code\n1,one\n2, 2\n1,one\n"


def open_letters(rig: Rig, run: str) -> dict[str, str]:
    """By table, of which each has one at most."""
    found = rig.call("GET", f"/runs/{run}/deadletters?state=open")["items"]
    assert all(letter["stage"] == "transform" for letter in found)
    return {letter["table"]: letter["id"] for letter in found}


def replay(rig: Rig, run: str, letter: str, **changes: Any) -> None:
    body = {"letters": [letter], "set": changes}
    assert rig.call("POST", f"/runs/{run}/deadletters/replay", body)["replayed"] == 1


def prepared(rig: Rig, run: str) -> dict[str, list[tuple[int, int]]]:
    return {table: sorted((row["id"], row["number"]) for row in rig.rows(run, table)) for table in TABLES}


def counted(rig: Rig, run: str) -> dict[str, tuple[int, ...]]:
    counts = rig.report(run)["tables"]
    assert not any(n for one in counts.values() for n in one["dropped"].values())
    return {
        table: tuple(counts[table][name] for name in ("read", "prepared", "merged", "rejected")) for table in TABLES
    }


@pytest.mark.parametrize("mode", ["snapshot", "continuous\nepoch: 0.3"])
def test_a_correction_takes_the_place_of_a_merged_record(rig: Rig, tmp_path: Path, mode: str) -> None:
    (tmp_path / "crm.csv").write_text(CRM)
    name = f"corrected_{mode[:4]}"
    tables = "".join(TABLE.format(name=table, conflicts=one, changes=two) for table, (one, two) in TABLES.items())
    (tmp_path / "it.task.yaml").write_text(f"task: {name}\nmode: {mode}\nrejects: {{share: 1}}\ntables:{tables}")
    run = rig.start(tmp_path / "it.task.yaml")
    eventually(lambda: prepared(rig, run) == {table: [(2, 2)] for table in TABLES}, 30, "what can be is prepared")
    eventually(lambda: open_letters(rig, run).keys() == TABLES.keys(), 30, "a letter of each table")
    assert counted(rig, run) == dict.fromkeys(TABLES, (3, 1, 1, 1))
    first = open_letters(rig, run)
    shown = rig.call("GET", f"/runs/{run}/deadletters/{first['keeps']}?reveal=true")
    assert shown["record"] == {"id": 1, "code": "one"}
    replay(rig, run, first["changes"], code="two")  # falls again
    for table in ("prefers", "drops"):
        replay(rig, run, first[table], code=" 0 ")
    replay(rig, run, first["keeps"], id=5, code="7")
    eventually(lambda: open_letters(rig, run).keys() == {"changes"}, 30, "one falls again")
    replay(rig, run, open_letters(rig, run)["changes"], code="8")
    stands = {
        "prefers": [(1, 0), (2, 2)],
        "drops": [(1, 0), (2, 2)],
        "keeps": [(2, 2), (5, 7)],
        "changes": [(1, 8), (2, 2)],
    }
    eventually(lambda: prepared(rig, run) == stands, 30, "the corrections are prepared")
    assert counted(rig, run) == dict.fromkeys(TABLES, (4, 2, 1, 1)) | {"changes": (5, 2, 1, 2)}
    assert open_letters(rig, run) == {}
    if mode == "snapshot":
        eventually(lambda: rig.report(run)["ended_at"], 30, "the run ends by itself")
