"""The aggregate step, read: what it groups by and what it computes of each group. Computes nothing itself.

`sum` of whole numbers stays int64 (whoever computes it must refuse what does not fit), `avg` of whole numbers and
decimals is a decimal of at least 9 decimals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sqlglot import exp

from processors.transform.expression import (
    Compiled,
    ExpressionError,
    column_kind,
    compile_node,
    kinds_of,
    parse,
    position_of,
)
from processors.transform.small_groups import SmallGroupsPlan, read_small_groups
from processors.wrong_config import Wrong
from schemas.columns import DEFAULT_SCALE, ColumnType
from schemas.task.form import meant
from schemas.task.model import Aggregate, Kind

Function = Literal["sum", "count", "count_distinct", "min", "max", "avg"]
_NUMBERS: Final = ("int64", "float64", "decimal")
_ORDERED: Final = (*_NUMBERS, "string", "bool", "date", "timestamp")
_FUNCTIONS: Final[dict[type[exp.Expression], Function]] = {
    exp.Sum: "sum",
    exp.Count: "count",
    exp.Min: "min",
    exp.Max: "max",
    exp.Avg: "avg",
}


@dataclass(frozen=True)
class GroupColumn:
    """`column` of the frame becomes `name` of the aggregated table."""

    name: str
    column: str
    kind: Kind


@dataclass(frozen=True)
class AggregateColumn:
    """`argument` is None for count(*) alone; nulls of an argument do not count."""

    name: str
    function: Function
    argument: Compiled | None
    kind: Kind

    @property
    def type(self) -> ColumnType:
        return self.kind.type


@dataclass(frozen=True)
class AggregatePlan:
    """`small` is None where small groups are published."""

    by: tuple[GroupColumn, ...]
    columns: tuple[AggregateColumn, ...]
    small: SmallGroupsPlan | None = None

    @property
    def output(self) -> dict[str, Kind]:
        merged = () if self.small is None else self.small.merged
        groups = {group.name: Kind("string") if group.name in merged else group.kind for group in self.by}
        return groups | {column.name: column.kind for column in self.columns}


def read_aggregate(aggregate: Aggregate, columns: Mapping[str, Kind | ColumnType]) -> tuple[AggregatePlan, list[Wrong]]:
    """What can be compiled of the step, and every mistake, paths relative to the step's aggregate."""
    kinds = kinds_of(columns)
    mistakes: list[Wrong] = []
    by: dict[str, GroupColumn] = {}
    for index, text in enumerate(aggregate.by):
        try:
            group = _group(text, kinds)
        except ExpressionError as error:
            mistakes.append(Wrong(("by", index), error.wrong, error.right))
            continue
        if group.name.lower() in by:
            right = f"derive one of them under another name, as in derive: {{other: {text}}}"
            mistakes.append(Wrong(("by", index), f"two groups would be named {group.name}", right))
        by.setdefault(group.name.lower(), group)
    found: list[AggregateColumn] = []
    for name, text in aggregate.columns.items():
        if name.lower() in by:
            mistakes.append(Wrong(("columns", name), f"there is a group named {name}", "give it another name"))
        try:
            found.append(_column(name, text, kinds))
        except ExpressionError as error:
            wrong = f"at character {error.position}: {error.wrong}"
            mistakes.append(Wrong(("columns", name), wrong, error.right))
    groups = {group.name: group.kind for group in by.values()}
    small, more = read_small_groups(aggregate, groups, kinds)
    return AggregatePlan(tuple(by.values()), tuple(found), small), mistakes + more


def _group(text: str, kinds: Mapping[str, Kind]) -> GroupColumn:
    node = parse(text)
    if not isinstance(node, exp.Column):
        raise ExpressionError(text, 1, f"{text} is no column", "derive a column first, then group by it")
    name, kind = column_kind(text, node, kinds)
    return GroupColumn(node.name, name, kind)


def _column(name: str, text: str, kinds: Mapping[str, Kind]) -> AggregateColumn:
    node = parse(text)
    if type(node) not in _FUNCTIONS:
        raise _refused(text, node)
    function = _FUNCTIONS[type(node)]
    inner = node.this
    if function == "count" and isinstance(inner, exp.Star):
        return AggregateColumn(name, "count", None, Kind("int64"))
    if function == "count" and isinstance(inner, exp.Distinct):
        function, inner = "count_distinct", _only(text, inner)
    if not isinstance(inner, exp.Expression) or node.expressions:
        raise _refused(text, node)
    argument = compile_node(text, inner, kinds)
    return AggregateColumn(name, function, argument, _result(text, inner, function, argument.kind))


def _only(text: str, distinct: exp.Distinct) -> exp.Expression:
    if len(distinct.expressions) != 1:
        right = "write count(distinct x)"
        raise ExpressionError(text, position_of(distinct, text), "distinct takes one column", right)
    one: exp.Expression = distinct.expressions[0]
    return one


def _refused(text: str, node: exp.Expression) -> ExpressionError:
    right = "write one of sum(x), count(*), count(x), count(distinct x), min(x), max(x), avg(x)"
    if isinstance(node, exp.Anonymous):
        right = f"{meant(str(node.this), _FUNCTIONS.values())} {right}"
    return ExpressionError(text, 1, "this is not one aggregate function", right)


def _result(text: str, node: exp.Expression, function: Function, kind: Kind) -> Kind:
    if function in ("count", "count_distinct"):
        return Kind("int64")
    fits = _NUMBERS if function in ("sum", "avg") else _ORDERED
    if kind.type not in fits:
        wrong = f"{function} does not fit {kind.type}"
        raise ExpressionError(text, position_of(node, text), wrong, f"it takes {', '.join(fits)}")
    if function != "avg" or kind.type == "float64":
        return kind
    scale = kind.scale if kind.type == "decimal" else 0
    return Kind("decimal", max(scale, DEFAULT_SCALE))
