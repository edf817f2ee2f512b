"""Groups that `generalize` forms: what is asked for holds, every value lies in what is published, the rest stays."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.anonymize.generalize import Generalize
from processors.anonymize.runner import CompiledMethods, compile_methods
from schemas.errors import Fatal
from schemas.task.model import Column, Method
from tests.oracle.properties import within

Compiled = Callable[..., CompiledMethods]
WrongFor = Callable[..., list[str]]

COLUMNS = {
    "age": {"type": "int64"},
    "city": {"type": "string"},
    "who": {"type": "string"},
    "ill": {"type": "string"},
    "note": {"type": "string"},
}
GROUPED: dict[str, Any] = {"method": "generalize", "quasi_identifiers": ["age", "city"], "k": 3}
DIVERSE: dict[str, Any] = {"l": [{"column": "ill", "l": 2}]}
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-5, 120)),
        st.one_of(st.none(), st.sampled_from(["Oslo", "Rome", "Bonn"])),
        st.sampled_from("abcdefgh"),
        st.sampled_from(["flu", "cold", "none"]),
    ),
    min_size=0,
    max_size=40,
)


def methods_of(**options: Any) -> CompiledMethods:
    columns = {name: Column.model_validate(raw) for name, raw in COLUMNS.items()}
    return compile_methods("t", columns, [Method(**{**GROUPED, **options})], {"generalize": Generalize})


def formed(methods: CompiledMethods, table: pl.DataFrame, window: bool = False) -> pl.DataFrame:
    rows, beside = methods.form(table, table["_hash"], bytes(32), window)
    assert beside is None
    return rows


def table_of(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    names = ("age", "city", "who", "ill")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    schema = {"age": pl.Int64, "city": pl.String, "who": pl.String, "ill": pl.String}
    numbers = pl.Series("_hash", range(len(rows)), dtype=pl.UInt64)
    return pl.DataFrame(columns, schema=schema).with_columns(numbers, pl.lit("n").alias("note"))


@given(ROWS, st.booleans())
def test_every_group_has_k_and_holds_its_values(rows: list[tuple[Any, ...]], subjects: bool) -> None:
    methods = methods_of(subject="who") if subjects else methods_of()
    given_rows = {row["_hash"]: row for row in table_of(rows).to_dicts()}
    counted = {row[2] for row in rows} if subjects else rows
    if 0 < len(counted) < 3:
        with pytest.raises(Fatal, match="k = 3 is more than"):
            formed(methods, table_of(rows), window=False)
        return
    out = formed(methods, table_of(rows), window=False)
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in out.to_dicts():
        before = given_rows.pop(row["_hash"])
        groups[row["age"], row["city"]].append(before["who"])
        assert within(row["age"], before["age"])
        assert within(row["city"], before["city"])
        assert (row["note"], row["ill"], row["who"]) == ("n", before["ill"], before["who"])
    assert not given_rows
    assert all(len(set(group) if subjects else group) >= 3 for group in groups.values())


@given(ROWS)
def test_sensitive_values_are_diverse_and_close_in_every_group(rows: list[tuple[Any, ...]]) -> None:
    asked = {"l": [{"column": "ill", "l": 2}], "t": [{"column": "ill", "t": 0.4}], "suppression_limit": 1.0}
    try:
        out = formed(methods_of(**asked), table_of(rows), window=False)
    except Fatal:
        assert len(rows) < 3 or len({row[3] for row in rows}) < 2
        return
    whole = Counter(out["ill"])
    for _, group in out.group_by("age", "city"):
        own = Counter(group["ill"])
        assert len(own) >= 2
        apart = sum(abs(own[value] / group.height - n / out.height) for value, n in whole.items()) / 2
        assert apart <= 0.4 + 1e-9


def test_a_table_that_still_grows_shows_nothing_until_it_can() -> None:
    rows = [(30, "Oslo", "a", "flu"), (31, "Oslo", "b", "flu")]
    out = formed(methods_of(), table_of(rows), window=True)
    assert out.height == 0
    assert out.schema["age"] == pl.String
    assert formed(methods_of(), table_of([*rows, (32, "Oslo", "c", "flu")]), window=True).height == 3


def test_what_can_t_be_had_is_told_with_what_can() -> None:
    rows = [(n, "Oslo", str(n), "flu") for n in range(5)]
    with pytest.raises(Fatal, match="k = 9 is more than the 5 rows there are; give k of at most 5"):
        formed(methods_of(k=9), table_of(rows), window=False)
    with pytest.raises(Fatal, match="ill"):
        formed(methods_of(l=[{"column": "ill", "l": 2}]), table_of(rows), window=False)


def test_groups_lie_on_the_grain_that_is_declared() -> None:
    rows = [(age, "Oslo", "a", "flu") for age in range(20, 60)]
    methods = methods_of(grain={"age": {"step": 10}, "city": {"rows": [["Oslo", "Norway"], ["Rome", "Italy"]]}})
    ages = set(formed(methods, table_of(rows), window=False)["age"])
    assert ages == {"20..29", "30..39", "40..49", "50..59"}


@pytest.mark.parametrize("window", [False, True])
def test_one_far_off_is_suppressed_within_the_limit(window: bool) -> None:
    rows = [*((20 + n % 9, "Oslo", str(n), "flu") for n in range(8)), (99, "Oslo", "old", "flu")]
    assert formed(methods_of(suppression_limit=0.1), table_of(rows), window).height == 9
    out = formed(methods_of(suppression_limit=0.2), table_of(rows), window)
    assert (out.height, "old" in out["who"].to_list()) == (8, False)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"subject": "nobody"}, "0.subject: nobody is no column of the table"),
        ({"subject": "age"}, "0.subject: age is a quasi-identifier"),
        ({"quasi_identifiers": ["age", "age"]}, "0.quasi_identifiers: names a column twice"),
        ({"quasi_identifiers": ["age", "ago"]}, "0.quasi_identifiers.1: ago is no column of the table"),
        ({"grain": {"ill": {"step": 2}}}, "0.grain.ill: ill is no quasi-identifier"),
        ({"grain": {"city": {"step": 2}}}, "0.grain.city"),
        ({"grain": {"age": {"step": 2, "unit": "day"}}}, "0.grain.age: says in several ways"),
        ({"l": [{"column": "age", "l": 2}]}, "0.l: age is a quasi-identifier and sensitive"),
        ({"l": [{"column": "ill", "l": 2, "kind": "recursive"}]}, "0.l.0.c: has no c"),
        ({"l": [{"column": "ill", "l": 2.5}]}, "0.l.0.l: is no whole number"),
        ({"t": [{"column": "ill", "t": 1.5}]}, "0.t.0.t"),
        ({"l": [{"column": "ill", "l": 2}, {"column": "ago", "l": 2}]}, "0.l.1.column: ago is no column of the table"),
        ({"t": [{"column": "ago", "t": 0.5}]}, "0.t.0.column: ago is no column of the table"),
        ({"t": [{"column": "ill", "t": 0.5, "distance": "ordered"}]}, "0.t.0.distance: asks for an order, and ill is"),
        ({"t": [{"column": "ill", "t": 0.5, "order": ["a", "a"]}]}, "0.t.0.order: names a value twice"),
        ({"t": [{"column": "pay", "t": 0.5, "order": ["1", "x"]}]}, "0.t.0.order: has a value that is no int64"),
        ({"t": [{"column": "day", "t": 0.5, "order": ["1"]}]}, "0.t.0.order: orders values of type date"),
        ({"k": 1}, "0.k"),
        ({"columns": {"age": {"step": 2}}}, "0: says neither or both of columns and quasi_identifiers"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_run(wrong: WrongFor, options: dict[str, Any], told: str) -> None:
    (found,) = wrong({**COLUMNS, "pay": {"type": "int64"}, "day": {"type": "date"}}, {**GROUPED, **options})
    assert found.startswith(told), found


@pytest.mark.parametrize(
    ("promise", "method", "told"),
    [
        ({"l": [{"column": "ill", "l": 2}]}, {"method": "suppress", "columns": ["ill"]}, "1.columns: ill would change"),
        (
            {"l": [{"column": "ill", "l": 2}]},
            {"method": "mask", "columns": {"ill": {"keep_last": 1}}},
            "1.columns: ill",
        ),
        ({"l": [{"column": "ill", "l": 2}]}, {"method": "tokenize", "columns": ["ill"]}, None),
        (
            {"t": [{"column": "ill", "t": 0.5}]},
            {"method": "tokenize", "columns": ["ill"]},
            "1.columns: ill would change",
        ),
        ({}, {"method": "suppress", "columns": ["ill"]}, None),
        (DIVERSE, {"method": "suppress", "columns": ["note"]}, None),
    ],
)
def test_what_groups_promise_of_a_column_no_method_undoes(
    wrong: WrongFor, compiled: Compiled, promise: dict[str, Any], method: dict[str, Any], told: str | None
) -> None:
    methods = ({**GROUPED, **promise}, method)
    if told is None:
        assert compiled(COLUMNS, *methods).group is not None
    else:
        (found,) = wrong(COLUMNS, *methods)
        assert found.startswith(told), found


def test_single_columns_ask_for_no_groups(wrong: WrongFor, compiled: Compiled) -> None:
    assert compiled(COLUMNS, {"method": "generalize", "columns": {"age": {"step": 10}}}).group is None
    (told,) = wrong(COLUMNS, {"method": "generalize", "columns": {"age": {"step": 10}}, "subject": "who"})
    assert told.startswith("0: asks for groups of single columns")


@given(ROWS.filter(lambda rows: len(rows) >= 8), st.integers(1, 9), st.booleans())
def test_a_table_in_parts_has_the_groups_of_the_whole(rows: list[tuple[Any, ...]], step: int, subjects: bool) -> None:
    methods = methods_of(
        k=2,
        l=[{"column": "ill", "l": 1.2, "kind": "entropy"}],
        suppression_limit=1.0,
        **({"subject": "who"} if subjects else {}),
    )
    table = table_of(rows)
    number = methods.group and methods.group.number
    assert number is not None
    parts = [table[start : start + step] for start in range(0, table.height, step)]
    if refused(lambda: formed(methods, table)):
        assert refused(lambda: number(parts)) == refused(lambda: formed(methods, table))
        return
    whole, found = formed(methods, table), number(parts)
    columns, kept = found.published(0, table.height)
    assert table["_hash"].filter(kept).to_list() == whole["_hash"].to_list()
    assert columns.filter(kept).rows() == whole.select("age", "city").rows()
    assert found.left_out == table.height - whole.height


def refused(call: Callable[[], Any]) -> str:
    try:
        call()
    except Fatal as error:
        return str(error)
    return ""
