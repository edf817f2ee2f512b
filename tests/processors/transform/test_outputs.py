"""The columns of tables after their transforms, and aggregate steps as they are read."""

from pathlib import Path
from typing import Any

import pytest

from processors.transform.outputs import input_columns, output_columns, outputs, projection, table_plan
from processors.wrong_config import ConfigError
from schemas.task.model import Aggregate, Kind, Task
from schemas.task.text import parse
from tests.processors.transform.compiled import compile_aggregate

ROOT = Path(__file__).parents[3]
KINDS = {
    "order.day": Kind("date"), "order.n": Kind("int64"), "customer.city": Kind("string"), "p": Kind("decimal", 2),
    "f": Kind("float64"), "customer.day": Kind("date"), "b": Kind("binary"),
}  # fmt: skip


def shop() -> Task:
    return Task.model_validate(parse((ROOT / "examples/shop/shop.task.yaml").read_text()).data)


def test_the_shop_s_tables() -> None:
    task = shop()
    assert output_columns("revenue", task) == {
        "day": Kind("date"), "city": Kind("string"), "revenue": Kind("decimal", 9), "orders": Kind("int64"),
    }  # fmt: skip
    assert output_columns("order", task)["day"] == Kind("date")
    assert list(output_columns("customer", task)) == ["id", "name", "sex", "age", "city", "phone"]
    seen = input_columns("revenue", task)
    assert (seen["order.day"], seen["product.price"]) == (Kind("date"), Kind("decimal", 9))
    transform, plan = table_plan("revenue", task)
    assert plan is not None
    assert transform.columns["amount"] == Kind("decimal", 9)
    assert [(group.name, group.column) for group in plan.by] == [("day", "order.day"), ("city", "customer.city")]
    assert [column.function for column in plan.columns] == ["sum", "count"]
    assert outputs(task)[1] == []


def derived(**more: Any) -> Task:
    table = {"columns": {"id": {"type": "int64"}, "c": {"type": "int64"}, "p": {"type": "decimal", "scale": 2}}}
    other = {"columns": {"id": {"type": "int64"}, "city": {"type": "string"}}}
    tables = {"order": table, "customer": other, **more}
    return Task.model_validate({"task": "t", "tables": tables})


def test_a_derived_table_without_aggregate_has_its_base_s_columns() -> None:
    join = {"order": {"join": {"customer": "c"}}}
    task = derived(wide={"from": join, "transform": [{"derive": {"city": "customer.city", "q": "order.p * order.p"}}]})
    assert output_columns("wide", task) == {
        "id": Kind("int64"), "c": Kind("int64"), "p": Kind("decimal", 2), "city": Kind("string"),
        "q": Kind("decimal", 4),
    }  # fmt: skip
    assert projection("wide", task) == {"id": "order.id", "c": "order.c", "p": "order.p", "city": "city", "q": "q"}


def test_a_derived_table_can_be_derived_from() -> None:
    totals = {"from": {"order": {}}, "transform": [{"aggregate": {"by": ["order.c"], "columns": {"n": "count(*)"}}}]}
    task = derived(totals=totals, big={"from": {"totals": {}}, "transform": [{"filter": "totals.n > 1"}]})
    assert output_columns("big", task) == {"c": Kind("int64"), "n": Kind("int64")}


def test_mistakes_are_told_of_their_table_alone() -> None:
    wrong = {"from": {"order": {}}, "transform": [{"derive": {"id": "1"}}, {"filter": "order.zz > 1"}]}
    task = derived(wrong=wrong, upon={"from": {"wrong": {}}, "transform": [{"filter": "wrong.id > 1"}]})
    found, findings = outputs(task)
    assert set(found) == {"order", "customer"}
    assert [finding.place for finding in findings] == [
        ("tables", "wrong", "transform", 0, "derive", "id"),
        ("tables", "wrong", "transform", 1, "filter"),
    ]
    with pytest.raises(ConfigError):
        output_columns("wrong", task)


@pytest.mark.parametrize(
    ("text", "function", "kind"),
    [
        ("count(*)", "count", Kind("int64")),
        ("count(order.n)", "count", Kind("int64")),
        ("count(distinct customer.city)", "count_distinct", Kind("int64")),
        ("sum(order.n)", "sum", Kind("int64")),
        ("sum(order.n * p)", "sum", Kind("decimal", 2)),
        ("sum(f)", "sum", Kind("float64")),
        ("min(customer.city)", "min", Kind("string")),
        ("max(order.day)", "max", Kind("date")),
        ("avg(order.n)", "avg", Kind("decimal", 9)),
        ("avg(f)", "avg", Kind("float64")),
        ("AVG(p)", "avg", Kind("decimal", 9)),
    ],
)
def test_aggregate_functions(text: str, function: str, kind: Kind) -> None:
    (column,) = compile_aggregate(Aggregate(columns={"r": text}), KINDS).columns
    assert (column.function, column.kind, column.name) == (function, kind, "r")
    assert (column.argument is None) == (text == "count(*)")


@pytest.mark.parametrize(
    ("by", "columns", "path", "part"),
    [
        ([], {"r": "sum(f) + 1"}, ("columns", "r"), "not one aggregate function"),
        ([], {"r": "f"}, ("columns", "r"), "not one aggregate function"),
        ([], {"r": "summ(f)"}, ("columns", "r"), "did you mean sum?"),
        ([], {"r": "sum(distinct f)"}, ("columns", "r"), "distinct"),
        ([], {"r": "count(distinct f, p)"}, ("columns", "r"), "one column"),
        ([], {"r": "sum(*)"}, ("columns", "r"), "star"),
        ([], {"r": "sum(customer.city)"}, ("columns", "r"), "does not fit string"),
        ([], {"r": "max(b)"}, ("columns", "r"), "does not fit binary"),
        ([], {"r": "sum(g)"}, ("columns", "r"), "no column g"),
        (["order.dai"], {"r": "count(*)"}, ("by", 0), "order.day?"),
        (["f + 1"], {"r": "count(*)"}, ("by", 0), "is no column"),
        (["order.day", "customer.day"], {"r": "count(*)"}, ("by", 1), "two groups would be named day"),
        (["order.day"], {"Day": "count(*)"}, ("columns", "Day"), "a group named Day"),
    ],
)
def test_what_an_aggregate_step_refuses(by: list[str], columns: dict[str, str], path: Any, part: str) -> None:
    with pytest.raises(ConfigError) as raised:
        compile_aggregate(Aggregate(by=by, columns=columns), KINDS)
    (wrong,) = raised.value.mistakes
    assert wrong.path == path
    assert part in f"{wrong.wrong}; {wrong.right}"
