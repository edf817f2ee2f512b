"""Just enough of SQL's expressions for the tests' tasks: numbers, texts, columns, arithmetic, comparison,
`and`, `or`, `not`, `is [not] null`, `cast(x as type)`, `lower`, `upper`, `coalesce`. Null is contagious.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

TOKEN = re.compile(r"\s*(?:([0-9]+\.[0-9]+|[0-9]+)|('(?:[^']|'')*')|([A-Za-z_][\w.]*)|(<=|>=|<>|!=|[-+*/%()<>=,]))")
Row = dict[str, Any]
Node = Callable[[Row], Any]
COMPARE = {
    "=": operator.eq, "<>": operator.ne, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
TIMES = {"*": operator.mul, "/": operator.truediv, "%": operator.mod}
PLUS = {"+": operator.add, "-": operator.sub}


def compile(text: str) -> Node:
    """The expression as a function of a row whose keys are column names, with or without their table."""
    parser = _Parser(_tokens(text))
    node = parser.either()
    if parser.tokens:
        raise AssertionError(f"the oracle can't read {text!r} from {parser.tokens[0]!r} on")
    return node


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while text[at:].strip():
        found = TOKEN.match(text, at)
        if found is None:
            raise AssertionError(f"the oracle can't read {text[at:]!r}")
        tokens.append(found.group().strip())
        at = found.end()
    return tokens


def _strict(act: Callable[..., Any], *nodes: Node) -> Node:
    def run(row: Row) -> Any:
        values = [node(row) for node in nodes]
        return None if any(value is None for value in values) else act(*values)

    return run


def cast(value: Any, kind: str) -> Any:
    if kind in ("date",):
        return value.date() if isinstance(value, dt.datetime) else dt.date.fromisoformat(str(value))
    return {"int64": int, "bigint": int, "float64": float, "double": float, "string": str, "varchar": str}[kind](value)


class _Parser:
    """Recursive descent, one method for each level of binding."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def _take(self, *wanted: str) -> str | None:
        if self.tokens and self.tokens[0].lower() in wanted:
            return self.tokens.pop(0).lower()
        return None

    def either(self) -> Node:
        node = self._both()
        while self._take("or"):
            node = _or(node, self._both())
        return node

    def _both(self) -> Node:
        node = self._negated()
        while self._take("and"):
            node = _and(node, self._negated())
        return node

    def _negated(self) -> Node:
        return _strict(operator.not_, self._negated()) if self._take("not") else self._compared()

    def _compared(self) -> Node:
        node = self._sum()
        if self._take("is"):
            wanted = self._take("not") is None
            assert self._take("null")
            return lambda row: (node(row) is None) == wanted
        sign = self._take(*COMPARE)
        return _strict(COMPARE[sign], node, self._sum()) if sign else node

    def _sum(self) -> Node:
        node = self._product()
        while sign := self._take(*PLUS):
            node = _strict(PLUS[sign], node, self._product())
        return node

    def _product(self) -> Node:
        node = self._atom()
        while sign := self._take(*TIMES):
            node = _strict(TIMES[sign], node, self._atom())
        return node

    def _atom(self) -> Node:
        if self._take("-"):
            return _strict(operator.neg, self._atom())
        if self._take("("):
            node = self.either()
            assert self._take(")")
            return node
        token = self.tokens.pop(0)
        if self.tokens and self.tokens[0] == "(":
            return self._call(token.lower())
        if token.startswith("'"):
            return _constant(token[1:-1].replace("''", "'"))
        if token[0].isdigit():
            return _constant(Decimal(token) if "." in token else int(token))
        if token.lower() == "null":
            return _constant(None)
        return lambda row: row[token]

    def _call(self, name: str) -> Node:
        assert self._take("(")
        first = self.either()
        if name == "cast":
            assert self._take("as")
            kind = self.tokens.pop(0).lower()
            assert self._take(")")
            return _strict(lambda value: cast(value, kind), first)
        rest = []
        while self._take(","):
            rest.append(self.either())
        assert self._take(")")
        if name == "coalesce":
            return lambda row: next((v for node in (first, *rest) if (v := node(row)) is not None), None)
        return _strict({"lower": str.lower, "upper": str.upper, "abs": abs}[name], first, *rest)


def _constant(value: Any) -> Node:
    return lambda _row: value


def _and(left: Node, right: Node) -> Node:
    def run(row: Row) -> Any:
        values = (left(row), right(row))
        return False if False in values else None if None in values else True

    return run


def _or(left: Node, right: Node) -> Node:
    def run(row: Row) -> Any:
        values = (left(row), right(row))
        return True if True in values else None if None in values else False

    return run
