"""A change that can't be read withdraws its key, whatever form the source writes that key in."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
import polars as pl
import pytest

import processors.anonymize
import processors.rules
from connectors.sources.formats.rejected import Reject, frame_of
from processors.anonymize.protocol import Anonymization
from processors.plan import TablePlan, compile_task
from processors.rules.protocol import Rule
from processors.worker.withdrawn import withdrawn_unread
from schemas.discovery import discover
from schemas.task.model import Task


def plan_of(**options: Any) -> TablePlan:
    source = {"connector": "csv", "path": "x.csv"}
    table = {
        "columns": {"day": {"type": "date"}, "n": {"type": "int64"}},
        "primary_key": {"column": "day", "conflicts": "drop_all"},
        "sources": {"plain": source | {"changes": True}, "formed": source | {"changes": True} | options},
    }
    task = Task.model_validate({"task": "t", "tables": {"t": table}})
    return compile_task(task, discover(processors.rules, Rule), discover(processors.anonymize, Anonymization)).tables[
        "t"
    ]


def withdrawn(plan: TablePlan, source: int, day: str) -> pl.DataFrame:
    return withdrawn_unread(frame_of([Reject(1, "n", "is no number", b"", {"day": day, "n": "x"}, 5)]), plan, source)


@pytest.mark.parametrize(
    "options", [{"date_formats": ["%d.%m.%Y"]}, {"format": "csv", "options": {"date_formats": ["%d.%m.%Y"]}}]
)
def test_a_key_is_read_in_the_formats_of_its_source(options: dict[str, Any]) -> None:
    plan = plan_of(**options)
    for text in ("29.02.2024", "2024-02-29"):
        found = withdrawn(plan, 1, text)
        assert found.select("day", "_pos", "_op").rows() == [(dt.date(2024, 2, 29), 5, 1)]
    assert withdrawn(plan, 0, "2024-02-29").height == 1
    assert withdrawn(plan, 0, "29.02.2024").height == 0  # nothing tells what that means there


def test_no_key_nothing_withdrawn() -> None:
    bad = frame_of([Reject(1, "n", "is cut", orjson.dumps("x"), None, 5)])
    assert withdrawn_unread(bad, plan_of(), 1).height == 0
