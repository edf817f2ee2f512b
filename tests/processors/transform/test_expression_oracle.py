"""Expressions against oracles: SQLite for logic and text, plain Python for exact arithmetic."""

import sqlite3
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from processors.transform.expression import compile_expression
from schemas.task.model import Kind

INTS = st.none() | st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)
TEXTS = st.none() | st.text(alphabet="aB%_ 1.é", max_size=5)
KINDS = {"x": Kind("int64"), "y": Kind("int64"), "s": Kind("string"), "t": Kind("string")}
ROWS = st.lists(
    st.tuples(st.none() | st.integers(-3, 3), st.none() | st.integers(-3, 3), TEXTS, TEXTS), min_size=1, max_size=8
)


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> str:
    """Conditions that mean the same in SQLite."""
    number = st.sampled_from(["x", "y", "1", "0", "-2", "null", "x + y", "x - 1", "coalesce(x, y)", "nullif(x, y)",
                              "case when x > y then x when y is null then 5 end", "x * y", "x / y", "x % y",
                              "length(s)"])  # fmt: skip
    text = st.sampled_from(["s", "t", "'a'", "trim(s)", "s || t", "replace(s, 'a', '1')", "substring(s, 2, 2)"])
    kind = draw(st.integers(0, 7 if depth else 5))
    sign = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    if kind == 0:
        return f"({draw(number)}) {sign} ({draw(number)})"
    if kind == 1:
        return f"{draw(text)} {sign} {draw(text)}"
    if kind == 2:
        word = draw(st.sampled_from(["is null", "is not null"]))
        return f"({draw(number)}) {word}"
    if kind == 3:
        word = draw(st.sampled_from(["in", "not in"]))
        return f"({draw(number)}) {word} (1, {draw(number)})"
    if kind == 4:
        word = draw(st.sampled_from(["between", "not between"]))
        return f"({draw(number)}) {word} {draw(st.sampled_from(['-1', 'x']))} and {draw(st.sampled_from(['2', 'y']))}"
    if kind == 5:
        return f"{draw(text)} = {draw(text)}"
    if kind == 6:
        return f"not ({draw(conditions(depth - 1))})"
    word = draw(st.sampled_from(["and", "or"]))
    return f"({draw(conditions(depth - 1))}) {word} ({draw(conditions(depth - 1))})"


@settings(max_examples=150, deadline=None)
@given(conditions(), ROWS)
def test_conditions_are_those_of_sqlite(text: str, rows: list[tuple[Any, ...]]) -> None:
    frame = pl.DataFrame(rows, schema={name: kind.polars for name, kind in KINDS.items()}, orient="row")
    compiled = compile_expression(text, KINDS)
    found = frame.with_columns(compiled.expr.alias("found"))["found"].to_list()
    with sqlite3.connect(":memory:") as db:
        db.execute("create table r (n integer, x integer, y integer, s text, t text)")
        db.executemany("insert into r values (?, ?, ?, ?, ?)", [(i, *row) for i, row in enumerate(rows)])
        expected = [row[0] for row in db.execute(f"select {text} from r order by n")]
    db.close()
    assert [None if one is None else int(one) for one in found] == expected


def whole(sign: str, one: int | None, other: int | None) -> tuple[int | None, bool]:
    """The exact result, and whether it is beyond int64."""
    if one is None or other is None or (sign in "/%" and other == 0):
        return None, False
    quotient = abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1) if other else 0
    exact = {"+": one + other, "-": one - other, "*": one * other, "/": quotient, "%": one - quotient * other}[sign]
    fits = -(2**63) <= exact < 2**63
    return (exact if fits else None), not fits


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(INTS, INTS), min_size=1, max_size=20))
def test_whole_numbers_are_exact_or_fail(rows: list[tuple[int | None, int | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"x": pl.Int64, "y": pl.Int64}, orient="row")
    for sign in "+-*/%":
        compiled = compile_expression(f"x {sign} y", {"x": "int64", "y": "int64"})
        assert compiled.failure is not None
        found = frame.select(compiled.expr.alias("value"), compiled.failure.is_not_null().alias("fails")).rows()
        assert found == [whole(sign, *row) for row in rows]


DECIMALS = st.none() | st.decimals(-(10**12), 10**12, places=4) | st.decimals(-2, 2, places=4)


def exact(sign: str, one: Decimal | None, other: Decimal | None, scale: int) -> Decimal | None:
    if one is None or other is None or (sign in "/%" and other == 0):
        return None
    with localcontext() as context:
        context.prec = 80
        made = {"+": one + other, "-": one - other, "*": one * other}
        if sign == "/":
            return (one / other).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN)
        return made[sign] if sign in made else one % other  # Python's % has the dividend's sign, as SQL's


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(DECIMALS, DECIMALS), min_size=1, max_size=20))
def test_decimals_are_exact(rows: list[tuple[Decimal | None, Decimal | None]]) -> None:
    kinds = {"x": Kind("decimal", 4), "y": Kind("decimal", 4)}
    frame = pl.DataFrame(rows, schema={name: kind.polars for name, kind in kinds.items()}, orient="row")
    for sign in "+-*/%":
        compiled = compile_expression(f"x {sign} y", kinds)
        found = frame.select(compiled.expr.alias("value"))["value"].to_list()
        assert found == [exact(sign, *row, compiled.kind.scale) for row in rows], sign


HUGE = st.decimals(-(10**33), 10**33, places=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(HUGE, HUGE), min_size=1, max_size=10))
def test_decimals_of_any_size_are_exact_or_fail(rows: list[tuple[Decimal, Decimal]]) -> None:
    kinds = {"x": Kind("decimal", 4), "y": Kind("decimal", 4)}
    frame = pl.DataFrame(rows, schema={name: kind.polars for name, kind in kinds.items()}, orient="row")
    for text in ("x + y", "x - y", "x * y", "x / y", "x % y", "round(x, 2)", "floor(x)", "cast(x as decimal(38, 9))"):
        compiled = compile_expression(text, kinds)
        assert compiled.failure is not None
        found = frame.select(compiled.expr.alias("value"), compiled.failure.alias("why")).rows()
        for (one, other), (value, why) in zip(rows, found, strict=True):
            if text in ("x + y", "x - y", "x * y", "x / y", "x % y") and value is not None:
                assert value == exact(text[2], one, other, compiled.kind.scale)
            assert (value is None) == (why is not None or (text[2] in "/%" and other == 0))


@settings(max_examples=40, deadline=None)
@example([1.0000000000000001e29, 1e29, -1e29, 1e30, float("nan"), float("-inf")])
@given(st.lists(st.floats() | st.none(), min_size=1, max_size=10))
def test_no_float_makes_an_expression_raise(values: list[float | None]) -> None:
    frame = pl.DataFrame({"f": values}, schema={"f": pl.Float64})
    for text in ("f * f", "f / f", "f % 2", "f + f", "round(f, 3)", "cast(f as int64)", "cast(f as decimal(38, 9))",
                 "sqrt(f)", "ln(f)", "exp(f)", "power(f, f)", "abs(f)", "sign(f)", "cast(f as string)", "floor(f)",
                 "greatest(f, 1)", "f > 1 or f is null"):  # fmt: skip
        compiled = compile_expression(text, {"f": "float64"})
        result = frame.with_columns(compiled.expr.alias("value"))
        assert result.height == len(values)


@settings(max_examples=60, deadline=None)
@example(["9" * 29 + ".9999999994", "9" * 29 + ".9999999995", "9" * 38, "9" * 39, "1e38", "-1e29", "1e-40"])
@given(st.lists(st.text(max_size=12) | st.from_regex(r"[ +-]?[0-9]{1,20}(\.[0-9]{0,3})?[TZ: -]?", fullmatch=True)))
def test_no_text_makes_a_cast_raise(values: list[str]) -> None:
    frame = pl.DataFrame({"s": values}, schema={"s": pl.String})
    for target in ("int64", "float64", "decimal(38, 9)", "bool", "date", "timestamp"):
        compiled = compile_expression(f"cast(s as {target})", {"s": "string"})
        assert compiled.failure is not None
        result = frame.select(compiled.expr.alias("value"), compiled.failure.alias("why"))
        assert result["value"].null_count() == len(values) - result["why"].null_count()
        result.rows()  # every value exists in Python: no year 0
