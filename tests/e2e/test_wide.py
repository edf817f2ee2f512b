"""Rows of a kilobyte each: what a merge or a derived table sends at once is more than a message holds."""

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
