"""The list of what an expression may contain: each node of sqlglot's tree with its translation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import polars as pl
from sqlglot import exp

from processors.transform import functions, logic, moments, numbers
from processors.transform.arithmetic import compute, negated
from processors.transform.casts import cast, concatenated, date_of
from processors.transform.terms import (
    BOOL,
    DATE,
    FLOAT,
    INT,
    MAX_SCALE,
    STRING,
    TIMESTAMP,
    Term,
    WrongError,
    decimal,
)
from schemas.columns import COLUMN_TYPES, DECIMAL_PRECISION, DEFAULT_SCALE
from schemas.task.form import meant
from schemas.task.model import Kind

MAX_DEPTH: Final = 100
FUNCTIONS: Final = (
    "abs", "case", "cast", "ceil", "coalesce", "concat", "date_trunc", "exp", "extract", "floor", "greatest",
    "initcap", "least", "left", "length", "ln", "lower", "lpad", "mod", "nullif", "position", "power",
    "regexp_replace", "replace", "reverse", "right", "round", "rpad", "sign", "split_part", "sqrt",
    "starts_with", "substring", "trim", "upper",
)  # fmt: skip
Translation = Callable[["Translator", Any], Term]


class Translator:
    """Translates the nodes of one expression, and notes which columns it uses."""

    def __init__(self, translations: Mapping[type[exp.Expression], Translation], kinds: Mapping[str, Kind]) -> None:
        self.translations = translations
        self.kinds = kinds
        self.uses: set[str] = set()
        self._depth = 0

    def term(self, node: exp.Expression) -> Term:
        translate = self.translations.get(type(node))
        if translate is None:
            raise refused(node)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise WrongError(node, "the expression is nested too deep", "derive a part of it first")
        term = translate(self, node)
        self._depth -= 1
        if node.args.get("negate"):
            term = logic.negation(node, term)
        return term

    def maybe(self, node: exp.Expression | None) -> Term | None:
        return None if node is None else self.term(node)

    def terms(self, nodes: list[exp.Expression]) -> list[Term]:
        return [self.term(node) for node in nodes]

    def sides(self, node: exp.Expression) -> tuple[Term, Term]:
        return self.term(node.this), self.term(node.expression)


def refused(node: exp.Expression) -> WrongError:
    if isinstance(node, exp.Anonymous):
        name = str(node.this)
        return WrongError(node, f"there is no function {name}", meant(name, FUNCTIONS))
    if isinstance(node, exp.CurrentDate | exp.CurrentTimestamp | exp.CurrentTime | exp.Rand | exp.Uuid):
        right = "use a column; the same records have to give the same result at any time"
        return WrongError(node, "an expression knows no clock and no chance", right)
    if isinstance(node, exp.AggFunc):
        right = "write an aggregate step: aggregate: {by: [...], columns: {...}}"
        return WrongError(node, "an expression sees one record alone", right)
    if isinstance(node, exp.Func):
        return WrongError(node, f"there is no function {node.sql_name().lower()}", meant(node.sql_name(), FUNCTIONS))
    word = type(node).__name__.lower()
    return WrongError(node, f"{word} is not part of expressions", "use columns, literals, operators, functions")


def _column(translator: Translator, node: exp.Column) -> Term:
    name = ".".join(part.name for part in node.parts)
    if name not in translator.kinds:
        endings = [known for known in translator.kinds if known.endswith(f".{name}")]
        right = f"did you mean {endings[0]}?" if endings else meant(name, translator.kinds)
        raise WrongError(node, f"there is no column {name}", right)
    translator.uses.add(name)
    return Term(pl.col(name), translator.kinds[name])


def _literal(_: Translator, node: exp.Literal) -> Term:
    text = str(node.this)
    if node.is_string:
        return Term(pl.lit(text, dtype=pl.String), STRING, literal=text)
    if text.isdigit():
        if int(text) < 2**63:
            return Term(pl.lit(int(text), dtype=pl.Int64), INT, literal=int(text))
        raise WrongError(node, "the number is too large for int64", "write a decimal, such as 1.0")
    if "e" in text.lower():
        return Term(pl.lit(float(text)), FLOAT, literal=float(text))
    value = Decimal(text)
    scale = -int(value.as_tuple().exponent)
    if scale > MAX_SCALE or len(value.as_tuple().digits) > DECIMAL_PRECISION:
        raise WrongError(node, "the number has too many digits", f"at most {MAX_SCALE} decimals are kept")
    return Term(pl.lit(value, dtype=pl.Decimal(DECIMAL_PRECISION, scale)), decimal(scale), literal=value)


def _negative(translator: Translator, node: exp.Neg) -> Term:
    if isinstance(node.this, exp.Literal) and str(node.this.this) == str(2**63):
        return Term(pl.lit(-(2**63), dtype=pl.Int64), INT, literal=-(2**63))
    return negated(node, translator.term(node.this))


def _null(_translator: Translator, _node: exp.Null) -> Term:
    return Term(pl.lit(None), None)


def _boolean(_: Translator, node: exp.Boolean) -> Term:
    return Term(pl.lit(bool(node.this)), BOOL, literal=bool(node.this))


def _sum(translator: Translator, node: exp.Add | exp.Sub) -> Term:
    sign = -1 if isinstance(node, exp.Sub) else 1
    if isinstance(node.expression, exp.Interval):
        return moments.shifted(node, translator.term(node.this), moments.span(node.expression), sign)
    if isinstance(node.this, exp.Interval) and sign > 0:
        return moments.shifted(node, translator.term(node.expression), moments.span(node.this), sign)
    left, right = translator.sides(node)
    days = [term.kind for term in (left, right) if term.kind in (DATE, TIMESTAMP)]
    if days:
        left, right = (date_of(node, term) if isinstance(term.literal, str) else term for term in (left, right))
        return moments.calendar(node, left, right)
    return compute(node, left, right)


def _cast(translator: Translator, node: exp.Cast) -> Term:
    return cast(node, translator.term(node.this), _target(node, node.to))


def _target(node: exp.Expression, to: exp.DataType) -> Kind:
    spelled = to.args["kind"].name if to.args.get("kind") else to.this.value
    name = _TYPES.get(str(spelled).lower())
    if name is None:
        raise WrongError(node, f"there is no type {str(spelled).lower()}", meant(str(spelled), COLUMN_TYPES))
    if name != "decimal":
        return Kind(name)  # type: ignore[arg-type]  # the table below holds types alone
    digits = [int(str(part.this.this)) for part in to.expressions]
    scale = digits[1] if len(digits) > 1 else 0 if digits else DEFAULT_SCALE
    if scale > MAX_SCALE:
        raise WrongError(node, f"a scale of {scale}", f"at most {MAX_SCALE} decimals are kept")
    return decimal(scale)


_TYPES: Final = {
    **{name: name for name in COLUMN_TYPES},
    **dict.fromkeys(("int", "bigint", "smallint", "integer"), "int64"),
    **dict.fromkeys(("double", "float"), "float64"),
    **dict.fromkeys(("text", "varchar"), "string"),
    "boolean": "bool",
    "timestamptz": "timestamp",
}  # fmt: skip


def _case(translator: Translator, node: exp.Case) -> Term:
    branches = []
    for branch in node.args["ifs"]:
        test = branch.this if node.this is None else exp.EQ(this=node.this.copy(), expression=branch.this.copy())
        branches.append((translator.term(test), translator.term(branch.args["true"])))
    default = translator.maybe(node.args.get("default")) or Term(pl.lit(None), None)
    return logic.choice(node, branches, default)


def _in(translator: Translator, node: exp.In) -> Term:
    if not node.expressions:
        raise WrongError(node, "in takes a list of values", "write city in ('Oslo', 'Rome')")
    return logic.membership(node, translator.term(node.this), translator.terms(node.expressions))


def _between(translator: Translator, node: exp.Between) -> Term:
    low, high = node.args["low"], node.args["high"]
    return logic.between(node, translator.term(node.this), translator.term(low), translator.term(high))


def _like(translator: Translator, node: exp.Like | exp.ILike) -> Term:
    return logic.likeness(node, *translator.sides(node), "\\")


def _escaped(translator: Translator, node: exp.Escape) -> Term:
    like, letter = node.this, node.expression
    if not isinstance(like, exp.Like | exp.ILike) or len(str(letter.this)) != 1:
        raise WrongError(node, "escape takes one character", "write like 'x!%' escape '!'")
    term = logic.likeness(like, *translator.sides(like), str(letter.this))
    return logic.negation(like, term) if like.args.get("negate") else term


def _coalesce(translator: Translator, node: exp.Coalesce) -> Term:
    return logic.first_value(node, translator.terms([node.this, *node.expressions]))


def _extreme(translator: Translator, node: exp.Greatest | exp.Least) -> Term:
    largest = isinstance(node, exp.Greatest)
    return logic.extreme(node, translator.terms([node.this, *node.expressions]), largest)


def _concat(translator: Translator, node: exp.Concat) -> Term:
    return concatenated(node, translator.terms(node.expressions), skip_nulls=True)


def _piped(translator: Translator, node: exp.DPipe) -> Term:
    return concatenated(node, list(translator.sides(node)), skip_nulls=False)


def _paren(translator: Translator, node: exp.Paren) -> Term:
    return translator.term(node.this)


def _binary(make: Callable[[Any, Term, Term], Term]) -> Translation:
    return lambda translator, node: make(node, *translator.sides(node))


def _unary(make: Callable[[Any, Term], Term]) -> Translation:
    return lambda translator, node: make(node, translator.term(node.this))


def _called(make: Callable[..., Term], *names: str) -> Translation:
    """A function of a first argument and of others, by the names that the tree gives them."""
    return lambda translator, node: make(
        node, translator.term(node.this), *(translator.maybe(node.args.get(name)) for name in names)
    )


TRANSLATIONS: Final[dict[type[exp.Expression], Translation]] = {
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Null: _null,
    exp.Boolean: _boolean,
    exp.Paren: _paren,
    exp.Neg: _negative,
    exp.Add: _sum,
    exp.Sub: _sum,
    **dict.fromkeys((exp.Mul, exp.Div, exp.Mod), _binary(compute)),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), _binary(logic.compare)),
    **dict.fromkeys((exp.NullSafeEQ, exp.NullSafeNEQ), _binary(logic.compare)),
    **dict.fromkeys((exp.And, exp.Or), _binary(logic.conjunction)),
    exp.Not: _unary(logic.negation),
    exp.Is: _binary(logic.identity),
    exp.In: _in,
    exp.Between: _between,
    **dict.fromkeys((exp.Like, exp.ILike), _like),
    exp.Escape: _escaped,
    **dict.fromkeys((exp.RegexpLike, exp.RegexpILike), _binary(functions.matches)),
    exp.Case: _case,
    exp.Coalesce: _coalesce,
    exp.Nullif: _binary(logic.null_if),
    **dict.fromkeys((exp.Greatest, exp.Least), _extreme),
    exp.Cast: _cast,
    exp.Extract: lambda translator, node: moments.part(node, node.name, translator.term(node.expression)),
    exp.TimestampTrunc: lambda translator, node: moments.truncated(
        node, node.args["unit"].name, translator.term(node.this)
    ),
    exp.Concat: _concat,
    exp.DPipe: _piped,
    **dict.fromkeys((exp.Lower, exp.Upper, exp.Length, exp.Reverse, exp.Initcap), _unary(functions.simple)),
    exp.Trim: _called(functions.trimmed, "expression"),
    exp.Substring: _called(functions.sliced, "start", "length"),
    **dict.fromkeys((exp.Left, exp.Right), _binary(functions.side)),
    exp.Replace: _called(functions.replaced, "expression", "replacement"),
    exp.SplitPart: _called(functions.split, "delimiter", "part_index"),
    exp.StrPosition: _called(functions.position, "substr"),
    exp.Pad: _called(functions.padded, "expression", "fill_pattern"),
    exp.StartsWith: _binary(functions.begins),
    exp.RegexpReplace: _called(functions.rewritten, "expression", "replacement", "modifiers"),
    exp.Round: _called(numbers.rounded, "decimals"),
    **dict.fromkeys((exp.Floor, exp.Ceil), _unary(numbers.stepped)),
    exp.Abs: _unary(numbers.magnitude),
    exp.Sign: _unary(numbers.signum),
    **dict.fromkeys((exp.Sqrt, exp.Ln, exp.Exp), _unary(numbers.real)),
    exp.Pow: _binary(numbers.power),
}
