"""A snapshot's table that is grouped by itself: nothing of its rows is held, and they leave as they would otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

import processors.anonymize
import processors.rules
from processors.anonymize.protocol import Anonymization
from processors.plan import compile_task
from processors.rules.protocol import Rule
from processors.segments.format import Segment, build, from_bytes
from processors.worker.directory import RunInfo
from processors.worker.ledger import Progress
from processors.worker.numbered import apart
from processors.worker.run_part import RunPart
from processors.worker.standing import counts, pieces, stand
from schemas import batch
from schemas.columns import CHANGED, HASH, IDENTITY, OP, POSITION, SOURCE
from schemas.discovery import discover
from schemas.errors import Fatal
from schemas.task.model import Task

KEY = bytes(range(32))
TABLE: dict[str, Any] = {
    "columns": {name: {"type": "int64" if name == "age" else "string"} for name in ("age", "city", "ill", "note")},
    "sources": {"s": {"connector": "csv", "path": "x.csv"}},
    "anonymize": [
        {"method": "suppress", "columns": ["note"]},
        {"method": "generalize", "quasi_identifiers": ["age", "city"], "k": 5, "suppression_limit": 0.5},
    ],
}
WITH_L = [{"column": "ill", "l": 2.9, "kind": "entropy"}]


@dataclass
class Part:
    """What the relate stage asks of a run's part."""

    info: RunInfo
    held: dict[str, list[Segment]]
    progress: Progress = field(default_factory=Progress)

    def segments(self, table: str, after: int = -1, upto: int = 2**62) -> list[Segment]:
        return self.held.get(table, [])


def part_of(rows: int, mode: str = "snapshot", more: dict[str, Any] | None = None, **options: Any) -> RunPart:
    method = TABLE["anonymize"][1] | options
    tables = {"t": TABLE | {"anonymize": [TABLE["anonymize"][0], method]}, **(more or {})}
    task = Task.model_validate({"task": "t", "tables": tables})
    plan = compile_task(task, discover(processors.rules, Rule), discover(processors.anonymize, Anonymization))
    return cast(RunPart, Part(RunInfo("run", "t", mode, 1, 1, plan, KEY), {"t": segments(rows)}))


def segments(rows: int) -> list[Segment]:
    """In several, each with some of every range; one record came twice, and one is gone."""
    draw = np.random.default_rng(4)
    frame = pl.DataFrame(
        {
            "age": draw.integers(0, 60, rows),
            "city": pl.Series(["Oslo", "Rome", None])[draw.integers(0, 3, rows)],
            "ill": pl.Series(["flu", "flu", "cold", "none"])[draw.integers(0, 4, rows)],
            "note": pl.Series(["x"] * rows),
            HASH: pl.Series(draw.integers(0, 2**63, rows).astype(np.uint64) * 2),
            POSITION: pl.Series([1] * rows, dtype=pl.Int64),
            OP: pl.Series([0] * rows, dtype=pl.Int8),
            SOURCE: pl.Series([0] * rows, dtype=pl.UInt16),
            CHANGED: pl.Series([0] * rows, dtype=pl.UInt64),
        }
    )
    again = frame[:2].with_columns(
        pl.lit(2, dtype=pl.Int64).alias(POSITION),
        pl.lit(30, dtype=pl.Int64).alias("age"),
        pl.Series(OP, [0, 1], dtype=pl.Int8),
    )
    parts = [frame[::3], frame[1::3], pl.concat([frame[2::3], again])]
    return [from_bytes(build(one.sort(HASH), KEY, 16), KEY) for one in parts]


def left(part: RunPart) -> tuple[pl.DataFrame, dict[str, Any]]:
    state = stand(part, 2**62)
    part.progress.told["merge/0"] = {"t": {"read": 0}}
    found = [batch.decode(payload) for _, _, payload in pieces(part, None, state, True)]
    return pl.concat(found).sort(IDENTITY), counts(part, state)["t"]


@pytest.mark.parametrize("options", [{}, {"l": WITH_L}, {"subject": "ill", "k": 2}])
def test_the_same_rows_leave_and_are_counted(options: dict[str, Any]) -> None:
    part = part_of(400, **options)
    assert apart(part) == {"t"}
    assert stand(part, 2**62).survivors.rows == {}
    rows, told = left(part)
    part.progress.closes = 1  # from then on what is looked at is held
    assert apart(part) == set()
    held, as_told = left(part)
    assert rows.equals(held)
    assert {"dropped": {}, **told} == as_told
    assert told["prepared"] == rows.height == 399 - sum(told.get("dropped", {}).values())
    assert bool(told.get("dropped")) == ("l" in options)
    assert rows["age"].dtype == pl.String


def test_what_can_t_be_grouped_is_told_with_its_table() -> None:
    with pytest.raises(Fatal, match="table t: no groups keep what is asked for: k = 900 is more than the 399 rows"):
        stand(part_of(400, k=900), 2**62)


def test_tables_that_others_look_at_are_held() -> None:
    child = {
        "columns": {"age": {"type": "int64", "references": "t.age"}},
        "sources": TABLE["sources"],
    }
    assert apart(part_of(9, more={"child": child})) == set()
    assert apart(part_of(9, more={"sums": {"from": {"t": {}}}})) == set()
    assert apart(part_of(9, mode="continuous")) == set()
    assert apart(part_of(9, search="full_domain")) == set()
    assert apart(part_of(9)) == {"t"}
