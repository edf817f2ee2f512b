"""Expressions: SQL's results for values that were worked out by hand, and what is refused."""

import datetime as dt
from decimal import Decimal as D
from typing import Any

import polars as pl
import pytest

from processors.transform.expression import ExpressionError, compile_expression
from schemas.task.model import Kind

UTC = dt.UTC
COLUMNS: dict[str, Kind] = {
    "a": Kind("int64"), "n": Kind("int64"), "f": Kind("float64"), "p": Kind("decimal", 2), "q": Kind("decimal", 9),
    "s": Kind("string"), "e": Kind("string"), "b": Kind("bool"), "d": Kind("date"), "at": Kind("timestamp"),
    "j": Kind("json"), "raw": Kind("binary"), "order.quantity": Kind("int64"), "date": Kind("date"),
}  # fmt: skip
ROW: dict[str, Any] = {
    "a": 7, "n": None, "f": 2.5, "p": D("1.25"), "q": D("0.000000003"), "s": "Héllo World", "e": " 12 ", "b": True,
    "d": dt.date(2024, 1, 31), "at": dt.datetime(2024, 2, 29, 23, 59, 58, 250_000, UTC), "j": "{}", "raw": b"x",
    "order.quantity": 3, "date": dt.date(2020, 12, 31),
}  # fmt: skip
FRAME = pl.DataFrame([ROW], schema={name: kind.polars for name, kind in COLUMNS.items()})


def value(text: str) -> tuple[Any, str | None]:
    compiled = compile_expression(text, COLUMNS)
    why = pl.lit(None, dtype=pl.String) if compiled.failure is None else compiled.failure
    result = FRAME.select(compiled.expr.alias("value"), why.alias("why"))
    assert result.schema["value"] == compiled.kind.polars
    empty = FRAME.clear().with_columns(compiled.expr.alias("value"), why.alias("why"))
    assert empty.height == 0
    return result["value"].item(), result["why"].item()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # arithmetic
        ("a + 1", 8), ("a / 2", 3), ("-a / 2", -3), ("a % 4", 3), ("-a % 4", -3), ("a % -4", 3), ("mod(a, 4)", 3),
        ("a / 0", None), ("a % 0", None), ("f / 0", None), ("p / 0", None), ("a + n", None), ("-(-a)", 7),
        ("a / 2.0", D("3.5")), ("a * p", D("8.75")), ("p + q", D("1.250000003")), ("p * q", D("0.00000000375")),
        ("p / 3", D("0.416666667")), ("-p", D("-1.25")), ("p - 0.05", D("1.20")), ("a * f", 17.5), ("p * f", 3.125),
        ("1.10 + 2.20", D("3.30")), ("-9223372036854775808", -(2**63)), ("order.quantity * p", D("3.75")),
        ("p % 1", D("0.25")), ("(a + 1) * 2", 16), ("a + 1 * 2", 9), ("f % 2", 0.5), ("1e3 + a", 1007.0),
        # comparison and logic
        ("a > 6", True), ("a > 6.5", True), ("a = 7.0", True), ("p = 1.25", True), ("n = n", None), ("n is null", True),
        ("a is not null", True), ("a <> 7", False), ("b and n > 1", None), ("not b and n > 1", False),
        ("b or n > 1", True), ("not (n > 1)", None), ("b is true", True), ("(n > 1) is not true", True),
        ("n is distinct from a", True), ("n is not distinct from n", True), ("a in (1, 7)", True),
        ("a in (1, null)", None), ("a not in (1, 2)", True), ("a not in (1, null)", None), ("a between 1 and 7", True),
        ("a not between 1 and 7", False), ("a = null", None), ("d > '2024-01-01'", True), ("at > d", True),
        ("date < d", True), ("s = 'x'", False), ("p > 1", True), ("f > a", False), ("p = q", False),
        # text
        ("upper(s)", "HÉLLO WORLD"), ("lower(s)", "héllo world"), ("length(s)", 11), ("trim(e)", "12"),
        ("ltrim(e)", "12 "), ("rtrim(e)", " 12"), ("trim(both 'Hd' from s)", "éllo Worl"), ("s || '!'", "Héllo World!"),
        ("s || n", None), ("concat(s, n, a)", "Héllo World7"), ("substring(s from 2 for 3)", "éll"),
        ("substring(s, 8)", "orld"), ("substring(s, 0, 3)", "Hé"), ("substring(s, -1, 1)", ""), ("left(s, 2)", "Hé"),
        ("left(s, -6)", "Héllo"), ("right(s, 3)", "rld"), ("replace(s, 'l', 'L')", "HéLLo WorLd"),
        ("split_part(s, ' ', 2)", "World"), ("split_part(s, ' ', 3)", ""), ("split_part(s, ' ', -1)", "World"),
        ("position('W' in s)", 7), ("strpos(s, 'zz')", 0), ("lpad('7', 3, '0')", "007"), ("rpad(s, 4, '.')", "Héll"),
        ("starts_with(s, 'Hé')", True), ("reverse('abc')", "cba"), ("initcap(s)", "Héllo World"),
        ("s like 'H_llo%'", True), ("s like 'h%'", False), ("s ilike 'h%'", True), ("s not like '%x%'", True),
        ("'50%' like '50\\%'", True), ("'a.c' like 'abc'", False), ("'50%' like '50!%' escape '!'", True),
        ("s ~ '^H.*d$'", True), ("s ~* '^h'", True), ("regexp_replace(s, 'l', 'L')", "HéLlo World"),
        ("regexp_replace(s, '(l)', '<\\1>', 'g')", "Hé<l><l>o Wor<l>d"),
        ("regexp_replace(s, 'L', '$', 'gi')", "Hé$$o Wor$d"),
        # choice
        ("case when a > 5 then 'big' when a > 1 then 'small' end", "big"),
        ("case a when 7 then 1 else 2.5 end", D("1.0")),
        ("case when n > 1 then 1 end", None), ("coalesce(n, a, 1)", 7), ("coalesce(n, 2.5)", D("2.5")),
        ("nullif(a, 7)", None), ("nullif(a, 8)", 7), ("greatest(a, n, 9)", 9), ("least(a, p)", D("1.25")),
        ("greatest(n, null)", None), ("coalesce(d, '2020-01-01')", dt.date(2024, 1, 31)),
        # numbers
        ("abs(-a)", 7), ("round(p, 1)", D("1.3")), ("round(-p, 1)", D("-1.3")), ("round(f)", 2.0), ("round(a, 2)", 7),
        ("floor(p)", D("1")), ("ceil(p)", D("2")), ("floor(-f)", -3.0), ("sign(-p)", -1), ("sqrt(a + 2)", 3.0),
        ("power(a, 2)", 49.0),
        # casts
        ("cast(e as int64)", 12), ("cast('1.5' as decimal(10, 1))", D("1.5")), ("cast(f as int64)", 2),
        ("cast(p as int64)", 1), ("cast(q as decimal(38, 2))", D("0.00")), ("cast(a as string)", "7"),
        ("cast(b as string)", "true"), ("cast('yes' as bool)", True), ("cast(at as date)", dt.date(2024, 2, 29)),
        ("cast(d as timestamp)", dt.datetime(2024, 1, 31, tzinfo=UTC)), ("cast(d as string)", "2024-01-31"),
        ("cast(at as string)", "2024-02-29T23:59:58.250000Z"), ("a::float64", 7.0), ("cast(a as bool)", True),
        ("cast('2024-01-01T10:00:00+02:00' as timestamp)", dt.datetime(2024, 1, 1, 8, tzinfo=UTC)),
        ("cast('2024-01-01 10:00' as timestamp)", dt.datetime(2024, 1, 1, 10, tzinfo=UTC)),
        ("timestamp '2024-01-01'", dt.datetime(2024, 1, 1, tzinfo=UTC)), ("cast(j as string)", "{}"),
        # dates
        ("d + interval '1 month'", dt.date(2024, 2, 29)), ("d - interval '1 year 1 day'", dt.date(2023, 1, 30)),
        ("d + interval '2' day", dt.date(2024, 2, 2)), ("d + 1", dt.date(2024, 2, 1)), ("d - date '2024-01-01'", 30),
        ("d + interval '1 hour'", dt.datetime(2024, 1, 31, 1, tzinfo=UTC)),
        ("at + interval '1 day 2 seconds'", dt.datetime(2024, 3, 2, 0, 0, 0, 250_000, UTC)),
        ("extract(year from at)", 2024), ("extract(dow from d)", 3), ("extract(quarter from d)", 1),
        ("extract(second from at)", D("58.250000")), ("date_part('day', d)", 31),
        ("extract(epoch from d)", D(1706659200)),
        ("date_trunc('month', at)", dt.datetime(2024, 2, 1, tzinfo=UTC)),
        ("date_trunc('year', d)", dt.date(2024, 1, 1)),
        ("\"date\"", dt.date(2020, 12, 31)),
    ],
)  # fmt: skip
def test_values(text: str, expected: Any) -> None:
    found, why = value(text)
    assert why is None
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a + 9223372036854775807", "too large"),
        ("a * 9223372036854775807", "too large"),
        ("-(a - 8 - 9223372036854775807)", "too large"),
        ("abs(a - 8 - 9223372036854775807)", "too large"),
        ("(a - 8 - 9223372036854775807) / -1", "too large"),
        ("cast(p as decimal(38, 18)) * cast(99999999999999999999.0 as decimal(38, 0))", "too large"),
        ("f * 1e308 * 10", "infinite"),
        ("sqrt(-f)", "not a number"),
        ("ln(a - 7)", "infinite"),
        ("cast(s as int64)", "can't be cast to int64"),
        ("cast(s as date)", "can't be cast to date"),
        ("cast(f * 1e300 as int64)", "can't be cast to int64"),
        ("substring(s, 1, -a)", "negative length"),
        ("d + interval '9000 years'", "years 1 to 9999"),
        ("d - a * 1000000", "years 1 to 9999"),
        ("at - interval '3000 years'", "years 1 to 9999"),
        ("coalesce(cast(s as int64), 1)", "can't be cast"),
    ],
)
def test_what_sql_would_refuse_fails_and_is_null(text: str, reason: str) -> None:
    found, why = value(text)
    assert found is None or "coalesce" in text
    assert why is not None
    assert reason in why
    assert "Héllo" not in why


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("case when s ~ '^[0-9]+$' then cast(s as int64) else 0 end", 0),
        ("case when a = 7 then 1 when cast(s as int64) > 1 then 2 end", 1),
        ("coalesce(a, cast(s as int64))", 7),
        ("a = 1 and cast(s as int64) = 1", False),
        ("a = 7 or cast(s as int64) = 1", True),
    ],
)
def test_what_is_not_needed_cannot_fail(text: str, expected: Any) -> None:
    assert value(text) == (expected, None)


@pytest.mark.parametrize(
    ("text", "position", "parts"),
    [
        ("quantiy + 1", 1, "there is no column quantiy"),
        ("1 + aa", 5, "did you mean a?"),
        ("quantity + 1", 1, "did you mean order.quantity?"),
        ("order.quantiti + 1", 1, "did you mean order.quantity?"),
        ("1 + lowr(s)", 5, "did you mean lower?"),
        ("a + s", 1, "+ does not fit string"),
        ("a > s", 1, "cast one side"),
        ("s and b", 1, "and does not fit string"),
        ("d > '2024-13-01'", 1, "'2024-13-01' is no date"),
        ("a > 'x'", 1, "'x' is no int64"),
        ("a +", 3, "can't be read"),
        ("((a", 3, "can't be read"),
        ("", 1, "empty"),
        ("a; b", 1, "not one expression"),
        ("select 1", 1, "not one expression"),
        ("a b", 1, "not one expression"),
        ("current_date", 1, "no clock"),
        ("now() > at", 1, "no clock"),
        ("random()", 1, "no chance"),
        ("sum(a)", 1, "aggregate step"),
        ("a in (select 1)", 1, "list of values"),
        ("a[1]", 1, "not part of expressions"),
        ("*", 1, "not part of expressions"),
        ("? > 1", 1, "not part of expressions"),
        ("cast(a as foo)", 6, "no type foo"),
        ("cast(a as date)", 6, "can't be cast to date"),
        ("cast(raw as string)", 6, "can't be cast"),
        ("cast(a as decimal(38, 30))", 6, "at most 18"),
        ("q * q * q", 1, "27 decimals"),
        ("at - at", 1, "extract(epoch"),
        ("j = 'x'", 1, "json"),
        ("s like e", 1, "written down"),
        ("s ~ '('", 1, "no regular expression"),
        ("s ~ '(?=x)'", 1, "no regular expression"),
        ("d + interval '1 fortnight'", 1, "no unit fortnight"),
        ("extract(era from d)", 18, "no part era"),
        ("date_trunc('hour', d)", 1, "can't be cut"),
        ("99999999999999999999", 1, "too large for int64"),
        ("9223372036854775807 + 1", 1, "can never be computed"),
        ("1 + " * 300 + "1", 1, "nested too deep"),
        ("(" * 3000 + "1" + ")" * 3000, 1, "nested too deep"),
        ("1" * 20_000, 1, "an expression of 20000 characters"),
    ],
)
def test_what_is_refused_before_any_record(text: str, position: int, parts: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        compile_expression(text, COLUMNS)
    assert parts in f"{raised.value.wrong}; {raised.value.right}"
    if position > 1:
        assert raised.value.position == position


def test_types_may_be_given_by_name_and_uses_are_told() -> None:
    compiled = compile_expression("x + y", {"x": "int64", "y": "int64", "z": "string"})
    assert compiled.uses == {"x", "y"}
    assert compiled.type == "int64"
