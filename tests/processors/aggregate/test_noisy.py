"""Aggregates told with noise. Where the noise is taken out, what remains is a plain computation with bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.aggregate.derive import Derived, compile_derived, derive_tables
from processors.aggregate.noisy import Draw
from processors.privacy.differential import noise
from processors.privacy.differential.noise import Answer, Question
from schemas.columns import HASH
from schemas.errors import Fatal
from schemas.task.model import Task

KEY = bytes(range(32))
CITIES = ["Oslo", "Rome"]
KINDS = {"id": "int64", "who": "string", "city": "string", "late": "bool", "paid": "decimal", "minutes": "int64"}
COLUMNS = {"visits": "count(*)", "timed": "count(visit.minutes)", "minutes": "sum(visit.minutes)", "paid": "sum(half)"}
NOISE: dict[str, Any] = {
    "budget": "people",
    "epsilon": 2,
    "subject": "visit.who",
    "at_most": 2,
    "bounds": {"minutes": {"min": -3, "max": 60}, "paid": {"min": 0, "max": 9.5, "step": 0.5}},
    "categories": {"visit.city": CITIES, "visit.late": [True, False]},
}


def task(by: list[str] | None = None, mode: str = "snapshot", columns: Any = None, **changed: Any) -> Task:
    declared = {**NOISE, **changed}
    aggregate = {
        "by": ["visit.city", "visit.late"] if by is None else by,
        "columns": columns or COLUMNS,
        "noise": {name: value for name, value in declared.items() if value is not None},
    }
    told = {"from": {"visit": {}}, "transform": [{"derive": {"half": "visit.paid / 2"}}, {"aggregate": aggregate}]}
    visit = {
        "columns": {name: {"type": kind} for name, kind in KINDS.items()},
        "primary_key": {"column": "id", "conflicts": "drop_all"},
        "sources": {"s": {"connector": "csv", "path": "x.csv"}},
    }
    return Task.model_validate({"task": "t", "mode": mode, "tables": {"visit": visit, "told": told}})


def frame(rows: list[tuple[Any, ...]]) -> dict[str, pl.DataFrame]:
    schema: dict[str, Any] = {
        HASH: pl.UInt64,
        "id": pl.Int64,
        "who": pl.String,
        "city": pl.String,
        "late": pl.Boolean,
        "paid": pl.Decimal(38, 9),
        "minutes": pl.Int64,
    }
    return {"visit": pl.DataFrame([(1000 + i, i, *row) for i, row in enumerate(rows)], schema=schema, orient="row")}


def drawn(table: str, budget: str, questions: Mapping[str, Question], draw: Draw) -> dict[str, Answer]:
    assert (table, budget) == ("told", "people")
    return {name: draw(name) for name in questions}


@contextmanager
def no_noise() -> Iterator[None]:
    with patch.object(noise, "_noisy", lambda numbers, _: list(numbers)):
        yield


def derived(rows: list[tuple[Any, ...]], of: Task | None = None) -> Derived:
    table = compile_derived("told", of or task())
    return derive_tables({"told": table}, frame(rows), KEY, drawn)["told"]


ROWS = st.lists(
    st.tuples(
        st.none() | st.sampled_from(["ann", "bob", "eve"]),
        st.none() | st.sampled_from([*CITIES, "Bonn"]),
        st.none() | st.booleans(),
        st.none() | st.integers(-40, 40).map(Decimal),
        st.none() | st.integers(-10, 100),
    ),
    max_size=25,
)


def plain(rows: list[tuple[Any, ...]], column: str, cell: tuple[str, bool]) -> Decimal:
    """Record after record, by its identity; of a subject the first two that have a value in a named group."""
    seen: Counter[str | None] = Counter()
    total = Decimal(0)
    for who, city, late, paid, minutes in rows:
        value = {"visits": 1, "timed": minutes, "minutes": minutes, "paid": paid}[column]
        if city not in CITIES or late is None or value is None:
            continue
        seen[who] += 1
        if seen[who] > 2 or (city, late) != cell:
            continue
        if column in ("visits", "timed"):
            total += 1
        elif column == "minutes":
            total += max(-3, min(60, minutes))
        else:
            half = max(Decimal(0), min(Decimal("9.5"), paid / 2))
            total += half  # of a whole number, so a multiple of the step
    return total


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms())
def test_but_for_the_noise_it_is_what_the_bounds_leave_in_any_order(rows: list[tuple[Any, ...]], draw: Any) -> None:
    with no_noise():
        found = derived(rows)
        shuffled = frame(rows)["visit"].sample(fraction=1, shuffle=True, seed=draw.randrange(2**32))
        again = derive_tables({"told": compile_derived("told", task())}, {"visit": shuffled}, KEY, drawn)["told"]
    assert again.rows.equals(found.rows)
    assert [(row["city"], row["late"]) for row in found.rows.to_dicts()] == [
        (c, x) for c in CITIES for x in (True, False)
    ]
    for row in found.rows.to_dicts():
        for column in COLUMNS:
            assert row[column] == plain(rows, column, (row["city"], row["late"])), column
    assert (found.counts["read"], found.counts["prepared"]) == (len(rows), 4)


def test_types_are_those_of_the_aggregate_without_noise() -> None:
    kinds = {name: kind.polars for name, kind in compile_derived("told", task()).kinds.items()}
    found = derived([("ann", "Oslo", True, Decimal(4), 7)]).rows
    assert {name: found.schema[name] for name in kinds} == kinds
    assert found.null_count().sum_horizontal().item() == 0


def test_a_table_without_groups_is_one_row_also_of_nothing() -> None:
    of = task(by=[], categories=None)
    with no_noise():
        assert derived([], of).rows.to_dicts()[0]["visits"] == 0
        assert derived([("ann", None, None, None, None)] * 3, of).rows.to_dicts()[0]["visits"] == 2


def test_epsilon_and_delta_are_shared_out_and_add_up() -> None:
    plan = compile_derived("told", task(epsilon=0.1, delta=1e-6)).noise
    assert plan is not None
    costs = [question.cost for question in plan.questions.values()]
    assert len(costs) == 4
    assert sum((cost.epsilon for cost in costs), 0 * costs[0].epsilon) == noise.Cost.of("0.1").epsilon
    assert sum((cost.delta for cost in costs), 0 * costs[0].delta) == noise.Cost.of(0, "1e-6").delta
    assert {name: question.most for name, question in plan.questions.items()} == {
        "visits": 2,
        "timed": 2,
        "minutes": 120,
        "paid": 38,
    }


def test_without_whoever_keeps_the_budget_nothing_is_drawn() -> None:
    with patch.object(noise, "_noisy", side_effect=AssertionError("drawn")), pytest.raises(Fatal, match="nobody keeps"):
        derive_tables({"told": compile_derived("told", task())}, frame([]), KEY)


def test_what_comes_out_is_what_was_answered_and_nothing_of_the_rows() -> None:
    """Whoever answers from a ledger need not draw: the same words, whatever the rows are by now."""

    def known(_: str, __: str, questions: Mapping[str, Question], ___: Draw) -> dict[str, Answer]:
        return {name: dict.fromkeys(question.categories, "-7") for name, question in questions.items()}

    tables = [
        derive_tables({"told": compile_derived("told", task())}, frame(rows), KEY, known)["told"].rows
        for rows in ([], [("ann", "Oslo", True, Decimal(4), 7)] * 9)
    ]
    assert tables[0].equals(tables[1])
    assert set(tables[0]["visits"]) == {-7}


def test_noise_of_each_group_is_as_wide_as_the_law_says_and_independent() -> None:
    """1,000 groups at once. Laplace's scale is most/epsilon; its mean absolute value then too, within 5 errors."""
    groups = [f"g{n}" for n in range(1000)]
    of = task(
        by=["visit.city"],
        columns={"visits": "count(*)", "minutes": "sum(visit.minutes)"},
        bounds={"minutes": {"min": 0, "max": 10}},
        categories={"visit.city": groups},
        epsilon=0.5,
        at_most=3,
    )
    found = derived([], of).rows
    for column, scale in (("visits", 3 / 0.25), ("minutes", 30 / 0.25)):
        drawn_here = found[column].to_numpy()
        spread = float(abs(drawn_here).mean())
        assert abs(spread - scale) < 5 * scale / 1000**0.5, column
        assert abs(float(drawn_here.mean())) < 6 * scale * (2 / 1000) ** 0.5, column
        assert len(set(drawn_here.tolist())) > 20, column


@pytest.mark.parametrize(
    ("name", "kind", "most", "step"),
    [("paid", "decimal", 500, "0.01"), ("paid", "float64", 2, "0.0001"), ("paid", "int64", 500, "1")],
)
def test_steps_are_fine_where_none_is_given(name: str, kind: str, most: float, step: str) -> None:
    of = task(
        by=[],
        categories=None,
        columns={name: f"sum(cast(visit.paid as {kind.removesuffix('64')}))"},
        bounds={name: {"min": 0, "max": most}},
    )
    plan = compile_derived("told", of).noise
    assert plan is not None
    assert Decimal(str(plan.questions[name].step)) == Decimal(step)
