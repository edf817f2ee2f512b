"""What is sent at once is more than a message holds: rows of a kilobyte each, or records that all fall."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from psycopg import sql

from control_api.store.outbox import table_of
from tests.faults.rig import Rig

pytestmark = pytest.mark.stack

RECORDS = 20_000
TASK = """
task: letters
tables:
  letter:
    columns: {id: {type: int64}, text: {type: string}}
    primary_key: {column: id, conflicts: {prefer: [s]}}
    sources: {s: {connector: jsonl, path: letter.jsonl}}
  kept:
    from: {letter: {}}
    transform:
      - filter: "letter.id >= 10"
"""


FALLEN = 1_000
FALLING = """
task: falling
rejects: {share: 1.0}
tables:
  letter:
    columns: {id: {type: int64}, text: {type: string}}
    primary_key: {column: id, conflicts: {prefer: [s]}}
    sources: {s: {connector: csv, path: letter.csv}}
"""


def text(number: int) -> str:
    """Nothing that packs."""
    return hashlib.shake_256(number.to_bytes(8, "big")).hexdigest(512)


def told(number: int) -> str:
    return hashlib.md5(text(number).encode(), usedforsecurity=False).hexdigest()


def test_wide_rows_come_through_whole(rig: Rig, tmp_path: Path) -> None:
    with (tmp_path / "letter.jsonl").open("w") as file:
        file.writelines(json.dumps({"id": n, "text": text(n)}) + "\n" for n in range(RECORDS))
    path = tmp_path / "letters.task.yaml"
    path.write_text(TASK)
    run = rig.start(path)
    rig.wait(run)
    for table, first in (("letter", 0), ("kept", 10)):
        found = sql.SQL("SELECT id, md5(text) AS told FROM {} ORDER BY id").format(table_of(run, table))
        expected = [(n, told(n)) for n in range(first, RECORDS)]
        assert [(row["id"], row["told"]) for row in rig.query(found)] == expected


@pytest.mark.parametrize(("number", "rule"), [("x", "type"), ("", "primary_key")])
def test_wide_records_that_all_fall_are_dead_letters(rig: Rig, tmp_path: Path, number: str, rule: str) -> None:
    """As JSON each is six times as large as its text: those that can't be read, and those without a key."""
    shown = "".join(chr(1 + byte % 7) for byte in hashlib.shake_256(b"some").digest(10_000))
    (tmp_path / "letter.csv").write_text("id,text\n" + f"{number},{shown}\n" * FALLEN)
    path = tmp_path / "falling.task.yaml"
    path.write_text(FALLING)
    run = rig.start(path)
    report = rig.wait(run)
    assert report["tables"]["letter"]["rejected"] == FALLEN
    letters = rig.query("SELECT id, rule, position FROM metal.dead_letters WHERE run = %s", run)
    assert {one["rule"] for one in letters} == {rule}
    assert sorted(one["position"]["line"] for one in letters) == list(range(2, FALLEN + 2))
    shown_again = rig.call("GET", f"/runs/{run}/deadletters/{letters[-1]['id']}?reveal=true")
    assert shown_again["record"]["text"] == shown
