"""Derived tables: every row that comes into one is prepared, merged into a group, dropped by a rule or rejected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.rig import Rig

pytestmark = pytest.mark.stack

TASK = """
task: tills
tables:
  sale:
    columns: {id: {type: int64}, sku: {type: string}, n: {type: int64}, paid: {type: string}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {s: {connector: jsonl, path: sale.jsonl}}
  product:
    columns: {sku: {type: string}}
    primary_key: {column: sku, conflicts: drop_all}
    sources: {s: {connector: jsonl, path: product.jsonl}}
  line:
    from: {sale: {join: {product: sku}}}
    transform:
      - filter: "sale.n > 0"
      - derive: {amount: "cast(sale.paid as int)"}
  total:
    from: {sale: {}}
    transform:
      - aggregate:
          by: [sale.sku]
          columns: {sales: "count(*)", amount: "sum(cast(sale.paid as int))"}
          small_groups: publish
"""
SALES = [("a", 1, "5"), ("a", 2, "7"), ("a", 3, "x"), ("b", 0, "1"), ("none", 1, "2"), (None, 1, "3")]


def test_what_falls_in_a_derived_table_is_counted_and_told(rig: Rig, tmp_path: Path) -> None:
    rows = [{"id": n, "sku": sku, "n": many, "paid": paid} for n, (sku, many, paid) in enumerate(SALES)]
    (tmp_path / "sale.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "product.jsonl").write_text('{"sku": "a"}\n{"sku": "b"}\n')
    path = tmp_path / "tills.task.yaml"
    path.write_text(TASK)
    run = rig.start(path)
    rig.wait(run)
    tables = rig.report(run)["tables"]
    dropped = {"sku.join": 2, "transform.filter": 1}
    assert tables["line"] == {"read": 6, "prepared": 2, "merged": 0, "rejected": 1, "dropped": dropped}
    assert tables["total"] == {"read": 6, "prepared": 4, "merged": 1, "rejected": 1, "dropped": {}}
    assert sorted(row["amount"] for row in rig.rows(run, "total")) == [1, 2, 3, 12]
    letters = rig.query("SELECT tab, stage, rule, col, reason FROM metal.dead_letters WHERE run = %s ORDER BY tab", run)
    assert [(one["tab"], one["stage"], one["rule"], one["col"]) for one in letters] == [
        ("line", "transform", "transform.derive", "amount"),
        ("total", "transform", "transform.aggregate", "amount"),
    ]
    assert all(one["reason"] for one in letters)
