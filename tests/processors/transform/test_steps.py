"""Filters and derived columns over a batch: kept, dropped and rejected records."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.wrong_config import ConfigError
from schemas.columns import HASH, LINE
from schemas.task.model import Kind, Step
from tests.processors.transform.compiled import compile_steps

COLUMNS = {"id": Kind("int64"), "text": Kind("string"), "x": Kind("int64")}


def frame(*rows: tuple[Any, ...]) -> pl.DataFrame:
    schema = {"id": pl.Int64, "text": pl.String, "x": pl.Int64, HASH: pl.UInt64, LINE: pl.Int64}
    return pl.DataFrame([(*row, i, 10 + i) for i, row in enumerate(rows)], schema=schema, orient="row")


def steps(*written: dict[str, Any]) -> list[Step]:
    return [Step.model_validate(one) for one in written]


def test_a_filter_drops_what_is_not_true() -> None:
    transform = compile_steps(steps({"filter": "x > 1"}, {"filter": "text <> 'no'"}), COLUMNS)
    given_ = frame((1, "a", 1), (2, "a", None), (3, "no", 2), (4, None, 2), (5, "yes", 2))
    outcome = transform.apply(given_)
    assert outcome.kept.rows() == [given_.row(4)]
    assert outcome.kept.schema == given_.schema
    assert outcome.dropped == {"transform.filter": 2, "transform.filter.2": 2}
    assert outcome.rejected.is_empty()
    assert transform.rules == ("transform.filter", "transform.filter.2")
    assert outcome.read == 5


def test_derived_columns_are_seen_by_what_follows() -> None:
    written = steps({"derive": {"y": "x * 2", "z": "y + 1"}}, {"filter": "z > 3"})
    transform = compile_steps(written, COLUMNS)
    outcome = transform.apply(frame((1, "a", 1), (2, "b", 2)))
    assert outcome.kept.select("id", "y", "z").rows() == [(2, 4, 5)]
    assert transform.columns == {**COLUMNS, "y": Kind("int64"), "z": Kind("int64")}


def test_what_cannot_be_computed_is_rejected_as_it_came() -> None:
    written = steps({"derive": {"n": "cast(text as int64)"}}, {"derive": {"m": "n * x"}}, {"filter": "m > 0"})
    given_ = frame((1, "7", 2), (2, "seven", 2), (3, "9223372036854775807", 2), (4, None, 2), (5, "-1", 1))
    outcome = compile_steps(written, COLUMNS).apply(given_)
    assert outcome.kept["id"].to_list() == [1]
    assert outcome.dropped == {"transform.filter": 2}
    assert outcome.rejected.columns == [*given_.columns, "_column", "_rule", "_reason"]
    assert outcome.rejected.drop("_column", "_rule", "_reason").rows() == [given_.row(1), given_.row(2)]
    assert outcome.rejected.select("_column", "_rule", "_reason").rows() == [
        ("n", "transform.derive", "can't be cast to int64"),
        ("m", "transform.derive.2", "the number is too large"),
    ]
    assert "seven" not in str(outcome.rejected["_reason"].to_list())


def test_a_filter_that_cannot_be_computed_rejects() -> None:
    outcome = compile_steps(steps({"filter": "cast(text as int64) > 1"}), COLUMNS).apply(frame((1, "x", 1)))
    assert outcome.kept.is_empty()
    assert outcome.dropped == {}
    assert outcome.rejected.select("_column", "_rule").rows() == [("text", "transform.filter")]


def test_constants_and_empty_batches() -> None:
    transform = compile_steps(steps({"derive": {"k": "1", "w": "'a'"}}, {"filter": "true"}), COLUMNS)
    assert transform.apply(frame((1, "a", 1), (2, "b", 2))).kept["k"].to_list() == [1, 1]
    empty = transform.apply(frame())
    assert empty.kept.columns == [*frame().columns, "k", "w"]
    assert empty.read == 0


def test_every_mistake_is_told() -> None:
    written = steps(
        {"filter": "y > 1"}, {"filter": "x"}, {"derive": {"X": "1", "w": "x + text", "v": "1"}}, {"derive": {"V": "2"}}
    )
    with pytest.raises(ConfigError) as raised:
        compile_steps(written, COLUMNS)
    assert [mistake.path for mistake in raised.value.mistakes] == [
        (0, "filter"), (1, "filter"), (2, "derive", "X"), (2, "derive", "w"), (3, "derive", "V"),
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.none() | st.text(alphabet="019x", max_size=3), st.integers(-5, 5))))
def test_every_record_has_one_fate_whatever_its_batch(rows: list[tuple[Any, ...]]) -> None:
    written = steps({"derive": {"n": "cast(text as int64)"}}, {"filter": "n / x > 0 or n is null"})
    transform = compile_steps(written, COLUMNS)
    given_ = frame(*rows)
    before = given_.clone()
    outcome = transform.apply(given_)
    assert given_.equals(before)
    assert outcome.read == len(rows)
    single = [transform.apply(given_[i : i + 1]) for i in range(len(rows))]
    assert [row for one in single for row in one.kept.rows()] == outcome.kept.rows()
    assert [row for one in single for row in one.rejected.rows()] == outcome.rejected.rows()
    lines = set(outcome.kept[LINE]) | set(outcome.rejected[LINE])
    assert len(lines) == outcome.kept.height + outcome.rejected.height
