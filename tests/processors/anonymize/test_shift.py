"""Dates move with their subject, by an offset without a mean."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.runner import CompiledMethods

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
Compiled = Callable[..., CompiledMethods]
WrongFor = Callable[..., list[str]]
COLUMNS = {"who": {"type": "int64"}, "a": {"type": "date"}, "b": {"type": "timestamp"}}
METHOD = {"method": "shift", "columns": ["a", "b"], "subject": "who", "days": 10}
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def frame(who: list[int | None], days: list[int]) -> pl.DataFrame:
    moments = [EPOCH + dt.timedelta(days=day, seconds=17) for day in days]
    dates = [moment.date() for moment in moments]
    return pl.DataFrame(
        {"who": who, "a": dates, "b": moments, "_id": range(len(who))},
        schema={"who": pl.Int64, "a": pl.Date, "b": pl.Datetime("us", "UTC"), "_id": pl.Int64},
    )


def offsets(methods: CompiledMethods, before: pl.DataFrame, key: bytes = KEY) -> pl.Series:
    return (methods.apply(before, key, window=False)["a"] - before["a"]).dt.total_days()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-90_000, 90_000)), min_size=1, max_size=20))
def test_a_subject_has_one_offset_in_every_column_and_table(compiled: Compiled, rows: list[tuple[int, int]]) -> None:
    before = frame([who for who, _ in rows], [day for _, day in rows])
    one = offsets(compiled(COLUMNS, METHOD), before)
    assert one.is_between(-10, 10).all()
    assert not one.is_in([0]).any()
    assert before.select("who").with_columns(one).n_unique() == before["who"].n_unique()
    assert one.equals(offsets(compiled(COLUMNS, METHOD, table="another"), before))
    after = compiled(COLUMNS, METHOD).apply(before, KEY, window=True)
    assert (after["b"] - before["b"]).equals((after["a"] - before["a"]).alias("b"))


def test_offsets_are_uniform_without_a_mean_and_belong_to_run_and_domain(compiled: Compiled) -> None:
    before = frame(list(range(20_000)), [0] * 20_000)
    one = offsets(compiled(COLUMNS, METHOD), before)
    counts = one.value_counts()["count"]
    assert len(counts) == 20
    assert sum((n - 1_000) ** 2 / 1_000 for n in counts) < 50  # chi-square with 19 degrees, p about 1e-4
    assert abs(one.mean()) < 5 * 6.2 / 20_000**0.5  # type: ignore[arg-type, operator]  # polars types all alike
    for other in (
        offsets(compiled(COLUMNS, METHOD), before, OTHER),
        offsets(compiled(COLUMNS, {**METHOD, "domain": "d"}), before),
    ):
        assert 0.04 < (one == other).mean() < 0.06  # type: ignore[operator]


def test_records_without_a_subject_move_each_on_its_own(compiled: Compiled) -> None:
    assert offsets(compiled(COLUMNS, METHOD), frame([None] * 500, [0] * 500)).n_unique() == 20


def test_the_calendars_ends_reflect(compiled: Compiled) -> None:
    last = (dt.date(9999, 12, 31) - EPOCH.date()).days
    first = (dt.date(1, 1, 1) - EPOCH.date()).days
    before = frame(list(range(200)), [first, last] * 100)
    after = compiled(COLUMNS, METHOD).apply(before, KEY, window=False)
    assert after.null_count().sum_horizontal().item() == 0
    assert (after["a"] != before["a"]).all()
    assert after["a"].n_unique() == 20


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"subject": "nobody"}, "0.subject: nobody is no column of the table; columns are who, a, b"),
        ({"subject": "a"}, "0.subject: a is moved by itself"),
        ({"columns": ["who"]}, "0.columns.0: who is of type int64; fits date, timestamp"),
        ({"days": 1}, "0.days: 1 does not fit"),
    ],
)
def test_shifts_that_make_no_sense(wrong: WrongFor, changed: dict[str, object], told: str) -> None:
    assert wrong(COLUMNS, {**METHOD, **changed})[0].startswith(told)
