"""Every type of column has its polars and its PostgreSQL type, and its values survive a batch."""

from __future__ import annotations

import polars as pl
import pytest

from schemas import batch, columns
from schemas.columns import COLUMN_TYPES, DECIMAL_PRECISION, ColumnType, polars_type, postgres_type


@pytest.mark.parametrize("kind", COLUMN_TYPES)
def test_every_type_can_be_held_sent_and_stored(kind: ColumnType) -> None:
    empty = pl.DataFrame({"x": [None]}, schema={"x": polars_type(kind)})
    assert batch.decode(batch.encode(empty)).schema == empty.schema
    assert postgres_type(kind)


@pytest.mark.parametrize("scale", [0, 2, 18])
def test_a_decimal_has_its_scale(scale: int) -> None:
    assert polars_type("decimal", scale) == pl.Decimal(DECIMAL_PRECISION, scale)


def test_a_moment_is_utc_to_the_microsecond() -> None:
    assert polars_type("timestamp") == pl.Datetime("us", "UTC")
    assert postgres_type("timestamp") == "timestamptz"


def test_the_engine_s_own_columns_are_told_from_an_author_s() -> None:
    own = [columns.HASH, columns.SOURCE, columns.POSITION, columns.OP, columns.CHANGED, columns.WEIGHT]
    own += [columns.LINE, columns.IDENTITY]
    assert len(set(own)) == len(own)
    assert all(name.startswith("_") for name in own)  # no name in a task may
