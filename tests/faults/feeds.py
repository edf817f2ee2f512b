"""Sources that tell changes while a run goes on: files that grow, and the task that follows them.

Parents come late and go again, children come before their parents, both change; a child's total per region follows.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.oracle import Oracle, prepare
from tests.oracle.prepare import load_task

FAMILY = """
task: {task}
{mode}
partitions: {partitions}
tables:
  parent:
    columns:
      id:     {{type: int64}}
      seq:    {{type: int64}}
      region: {{type: string, normalize: [trim], empty: {{replace: nowhere}}}}
    primary_key: {{column: id, conflicts: {{prefer: [feed]}}}}
    sources:
      feed: {{connector: jsonl, path: parent.jsonl, changes: {{order_by: seq, delete: {{column: op, equals: d}}}}}}
  child:
    columns:
      id:        {{type: int64}}
      seq:       {{type: int64}}
      parent_id: {{type: int64, references: parent.id}}
      amount:    {{type: decimal, range: {{min: 0, max: 1000, outside: drop}}}}
    primary_key: {{column: id, conflicts: {{prefer: [feed, other]}}}}
    sources:
      feed:  {{connector: jsonl, path: child.jsonl, changes: {{order_by: seq, delete: {{column: op, equals: d}}}}}}
      other: {{connector: jsonl, path: other.jsonl{other}}}
  total:
    from: {{child: {{join: {{parent: parent_id}}}}}}
    transform:
      - aggregate: {{by: [parent.region], columns: {{amount: "sum(child.amount)", children: "count(*)"}}}}
"""
FILES = ("parent", "child", "other")


@dataclass
class Family:
    """Grows three files by seeded steps."""

    folder: Path
    seed: int
    parents: int = 300
    children: int = 3_000
    plain: bool = True  # the third file only adds, among sources that tell changes
    draw: random.Random = field(init=False)
    sequence: int = 0
    once: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (self.folder / f"{name}.jsonl").touch()

    def task(self, name: str, mode: str = "continuous", epoch: float = 0.3, partitions: int = 3) -> Path:
        path = self.folder / f"{name}.task.yaml"
        pace = f"mode: {mode}\nepoch: {epoch}" if mode == "continuous" else f"mode: {mode}"
        path.write_text(
            FAMILY.format(task=name, mode=pace, partitions=partitions, other="" if self.plain else ", changes: true")
        )
        return path

    def step(self, changes: int = 200) -> None:
        """Some inserts, updates and deletions of each table, appended."""
        lines: dict[str, list[dict[str, Any]]] = {name: [] for name in FILES}
        for _ in range(changes):
            table = self.draw.choices(FILES, (1, 6, 1))[0]
            lines[table].append(getattr(self, f"_{table}")())
        for name, records in lines.items():
            with (self.folder / f"{name}.jsonl").open("a") as file:
                file.write("".join(json.dumps(record) + "\n" for record in records))

    def feed(self, seconds: float, every: float = 0.25, changes: int = 100) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.step(changes)
            time.sleep(every)

    def oracle(self, task: Path) -> Oracle:
        return prepare(load_task(task), self.folder)

    def _operation(self) -> dict[str, Any]:
        self.sequence += 1
        return {"seq": self.sequence, "op": "d" if self.draw.random() < 0.12 else "u"}

    def _parent(self) -> dict[str, Any]:
        region = self.draw.choice(["north", " south", "east", "west", "", None])
        return {"id": self.draw.randrange(self.parents), "region": region, **self._operation()}

    def _child(self) -> dict[str, Any]:
        return {"id": self.draw.randrange(self.children), **self._values(), **self._operation()}

    def _other(self) -> dict[str, Any]:
        return {"id": self.draw.randrange(self.children * 2), **self._values()}

    def _values(self) -> dict[str, Any]:
        amount = None if self.draw.random() < 0.03 else f"{self.draw.randrange(105_000) / 100:.2f}"
        parent = None if self.draw.random() < 0.03 else self.draw.randrange(int(self.parents * 1.1))
        return {"parent_id": parent, "amount": amount}
