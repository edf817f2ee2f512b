"""The columns by which a source tells its changes: which may stay undeclared, and what a declared one has to be."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from schemas.columns import ColumnType
from schemas.task.changes import MARKED_BY, ORDERED_BY, check_changes, told_columns
from schemas.task.model import Source, Table
from schemas.task.text import Finding


def findings(changes: Any, kind: str = "int64", key: bool = True) -> list[Finding]:
    """Of a table that declares `id` and `updated_at`."""
    source = Source.model_validate({"connector": "csv", "changes": changes})
    told: dict[str, Any] = {"columns": {"id": {"type": "int64"}, "updated_at": {"type": kind}}}
    if key:
        told["primary_key"] = {"column": "id", "conflicts": "drop_all"}
    return list(check_changes(Table.model_validate(told), source, ("changes",)))


@pytest.mark.parametrize("kind", get_args(ColumnType))
def test_a_declared_column_has_an_order_or_one_text_for_a_value(kind: str) -> None:
    ordered = findings({"order_by": "updated_at"}, kind)
    assert [one.place for one in ordered] == ([] if kind in ORDERED_BY else [("changes", "order_by")])
    marked = findings({"delete": {"column": "updated_at", "equals": "x"}}, kind)
    assert [one.place for one in marked] == ([] if kind in MARKED_BY else [("changes", "delete", "column")])
    assert {one.severity for one in (*ordered, *marked)} <= {"error"}


@pytest.mark.parametrize("changes", [True, {}, {"order_by": "seq", "delete": {"column": "op", "equals": ["d", "t"]}}])
def test_what_is_read_for_its_meaning_alone_need_not_be_declared(changes: Any) -> None:
    assert findings(changes) == []
    assert [one.wrong for one in findings(changes, key=False)] == ["changes of a table without a primary key"]


def test_columns_that_are_read_for_changes_may_be_renamed() -> None:
    changes = {"order_by": "seq", "delete": {"column": "op", "equals": "d"}}
    assert told_columns(Source.model_validate({"connector": "csv", "changes": changes})) == ["seq", "op"]
    assert told_columns(Source.model_validate({"connector": "csv", "changes": True})) == []


def test_a_name_that_is_nearly_a_declared_one() -> None:
    """In another case it is a mistake; otherwise it may be meant, so it is a warning."""
    (cased,) = findings({"order_by": "Updated_At"})
    (near,) = findings({"delete": {"column": "update_at", "equals": "d"}})
    assert [(one.severity, "did you mean updated_at?" in one.right) for one in (cased, near)] == [
        ("error", True),
        ("warning", True),
    ]
