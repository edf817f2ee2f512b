"""References between tables: chains, cycles, self-references, several of one table."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.faults.rig import Rig
from tests.oracle import prepare
from tests.oracle.prepare import load_task

pytestmark = pytest.mark.stack

WEB = """
task: web
partitions: 3
tables:
  person:
    columns:
      id:   {type: int64}
      boss: {type: int64, references: person.id}
      team: {type: string, references: team.name}
      desk: {type: int64, references: desk.id}
    primary_key: {column: id, conflicts: keep_all}
    sources: {s: {connector: jsonl, path: person.jsonl}}
  team:
    columns:
      name: {type: string}
      lead: {type: int64, references: person.id}
    primary_key: {column: name, conflicts: drop_all}
    sources: {s: {connector: jsonl, path: team.jsonl}}
  desk:
    columns:
      id:    {type: int64}
      floor: {type: int64, references: floor.id, range: {min: 0, outside: drop}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {s: {connector: jsonl, path: desk.jsonl}}
  floor:
    columns: {id: {type: int64}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {s: {connector: jsonl, path: floor.jsonl}}
  crowd:
    from: {person: {join: {desk: desk}}}
    transform:
      - filter: "person.id > 3"
      - aggregate:
          by: [desk.floor, person.team]
          columns: {people: "count(*)", bosses: "count(person.boss)", least: "min(person.id)", most: "max(person.id)"}
"""


def _write(folder: Path, draw: random.Random, people: int) -> None:
    def some(top: int) -> int | None:
        return None if draw.random() < 0.3 else draw.randrange(top)

    def team() -> str | None:
        number = some(220)
        return None if number is None else f"t{number}"

    tables = {
        "person": [
            {"id": n % people, "boss": some(people), "team": team(), "desk": some(people // 2 + 20)}
            for n in range(people + people // 50)
        ],
        "team": [{"name": f"t{n}", "lead": some(people)} for n in range(200)],
        "desk": [{"id": n, "floor": n % 42 - 1} for n in range(people // 2)],
        "floor": [{"id": n} for n in range(40) if n != 17],
    }
    for name, rows in tables.items():
        draw.shuffle(rows)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("seed", [1, 2])
def test_chains_cycles_and_self_references(rig: Rig, tmp_path: Path, seed: int) -> None:
    _write(tmp_path, random.Random(seed), 5_000)
    path = tmp_path / "web.task.yaml"
    path.write_text(WEB)
    run = rig.start(path)
    rig.wait(run)
    rig.check(run, prepare(load_task(path), tmp_path))
