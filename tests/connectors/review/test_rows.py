"""Every value of every declared type stands in PostgreSQL as it was sent."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.review import rows as review_rows
from control_api.store.outbox import TablePlan
from schemas import batch
from schemas.columns import COLUMN_TYPES, ColumnType, polars_type
from schemas.errors import Fatal
from tests.connectors.review.conftest import Store

pytestmark = pytest.mark.stack

FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(),
    "decimal": st.decimals(-(10**20), 10**20, places=9),
    "bool": st.booleans(),
    "date": st.dates(),
    "timestamp": st.datetimes(FIRST, LAST).map(lambda at: at.replace(tzinfo=UTC)),
    "binary": st.binary(max_size=12),
    "json": st.just('{"a": [1, null, "\\""]}'),
}
PLAN = TablePlan({f"c_{kind}": kind for kind in COLUMN_TYPES}, [("c_string", "normalize")], ["one"])
ROWS = st.lists(st.tuples(*(st.none() | VALUES[kind] for kind in COLUMN_TYPES)), min_size=1, max_size=30)


def append(store: Store, plan: TablePlan, frame: pl.DataFrame, version: int = 1) -> None:
    """To table `t` of a run `r`."""
    taken = review_rows.append(store.conn, "r", "t", plan, batch.table_of(batch.encode(frame)), version)
    assert taken == frame.height


def framed(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {f"c_{kind}": polars_type(kind) for kind in COLUMN_TYPES}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("_id"),
        pl.lit(0, dtype=pl.UInt16).alias("_src"),
        pl.lit(0, dtype=pl.UInt64).alias("_chg"),
    )


def same(sent: Any, found: Any) -> bool:
    if isinstance(sent, float) and isinstance(found, float):
        return (math.isnan(sent) and math.isnan(found)) or (
            sent == found and math.copysign(1, sent) == math.copysign(1, found)
        )
    return bool(sent == found) and (sent is None) == (found is None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_what_is_sent_is_what_is_found(store: Store, rows: list[tuple[Any, ...]]) -> None:
    store.conn.execute("DELETE FROM metal.runs")
    store.conn.execute("DROP SCHEMA IF EXISTS outbox_r CASCADE")
    store.conn.execute("DELETE FROM metal.tasks")
    store.add_run("r", plans={"t": PLAN})
    append(store, PLAN, framed(rows))
    found = [row[4:] for row in store.rows("r", "t")]
    assert len(found) == len(rows)
    for sent, got in zip(rows, found, strict=True):
        assert all(same(a, b) for a, b in zip(sent, got, strict=True)), (sent, got)


def test_hard_texts_and_numbers(store: Store) -> None:
    texts = [
        "",
        None,
        "\\.",
        "a\n\\.\nb",
        "\\N",
        "NULL",
        '"',
        '""',
        ",",
        "a\rb",
        "a\nb",
        "\r\n",
        " x ",
        "\\x00",
        "é\u2028😀",
        "\t",
        "'",
    ]
    store.add_run("r", plans={"t": PLAN})
    rows = [(text, *[None] * (len(COLUMN_TYPES) - 1)) for text in texts]
    append(store, PLAN, framed(rows))
    assert [row[4] for row in store.rows("r", "t")] == texts


def test_decimals_keep_every_digit(store: Store) -> None:
    plan = TablePlan({"n": "decimal"}, [], ["one"])
    store.add_run("r", plans={"t": plan})
    numbers = [Decimal("12345678901234567890123456789.123456789"), Decimal("-0.000000001"), Decimal("0")]
    frame = framed([tuple([None] * len(COLUMN_TYPES))] * 3).select("_id", "_src", "_chg")
    frame = frame.with_columns(pl.Series("n", numbers, dtype=pl.Decimal(38, 9)))
    append(store, plan, frame)
    assert [row[4] for row in store.rows("r", "t")] == numbers


def test_years_that_have_no_four_digits(store: Store) -> None:
    plan = TablePlan({"d": "date", "t": "timestamp"}, [], ["one"])
    store.add_run("r", plans={"t": plan})
    first, last = date(1, 1, 1).toordinal() - 719163, date(9999, 12, 31).toordinal() - 719163
    days = [first - 1, first - 366 * 100, last + 1, last + 366 * 5000, 0]
    frame = pl.DataFrame({"_id": range(5), "_src": [0] * 5, "_chg": [0] * 5, "d": days}).select(
        pl.col("_id"),
        pl.col("_src").cast(pl.UInt16),
        pl.col("_chg").cast(pl.UInt64),
        pl.col("d").cast(pl.Int32).cast(pl.Date),
        (pl.col("d") * 86_400_000_000 + 1).cast(pl.Datetime("us", "UTC")).alias("t"),
    )
    append(store, plan, frame)
    epoch = "(d - DATE '1970-01-01'), extract(epoch FROM t)"
    found = store.conn.execute(f"SELECT {epoch} FROM outbox_r.t ORDER BY _id".encode()).fetchall()
    assert [day for day, _ in found] == days
    assert [at for _, at in found] == [day * 86_400 + Decimal("0.000001") for day in days]


def test_a_timestamp_is_in_utc(store: Store) -> None:
    plan = TablePlan({"t": "timestamp"}, [], ["one"])
    store.add_run("r", plans={"t": plan})
    at = datetime(2024, 7, 1, 12, 0, 0, 1, tzinfo=UTC)
    frame = framed([tuple([None] * len(COLUMN_TYPES))]).select("_id", "_src", "_chg")
    append(store, plan, frame.with_columns(pl.lit(at, dtype=pl.Datetime("us", "UTC")).alias("t")))
    found = store.rows("r", "t")[0][4]
    assert (found, found.utcoffset()) == (at, timedelta(0))


@pytest.mark.parametrize("bits", [0, 1, 15, 16, 31, 32, 64])
def test_every_bit_of_a_change_is_kept(store: Store, bits: int) -> None:
    plan = TablePlan({"n": "int64"}, [("n", f"rule{b}") for b in range(bits)], ["one"])
    store.add_run("r", plans={"t": plan})
    masks = [0, *(1 << b for b in range(bits))]
    frame = pl.DataFrame(
        {"_id": range(len(masks)), "_src": [65535] * len(masks), "_chg": masks, "n": range(len(masks))}
    )
    frame = frame.with_columns(pl.col("_src").cast(pl.UInt16), pl.Series("_chg", masks, dtype=pl.UInt64))
    append(store, plan, frame, 3)
    found = store.rows("r", "t")
    assert [row[3] % 2**64 for row in found] == masks
    assert {row[1:3] for row in found} == {(3, -1)}


@pytest.mark.parametrize("fills", [1, 3000, 12 * 1024 * 1024])
def test_a_copy_fills_no_more_than_postgresql_keeps_for_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, fills: int
) -> None:
    monkeypatch.setattr(review_rows, "_FILLS", fills)
    plan = TablePlan({"n": "int64", "x": "string"}, [], ["one"])
    store.add_run("r", plans={"t": plan})
    frame = pl.DataFrame({"_id": range(500), "n": [None, *range(499)], "x": [str(n) * (n % 7) for n in range(500)]})
    own = (pl.lit(0, dtype=pl.UInt16).alias("_src"), pl.lit(0, dtype=pl.UInt64).alias("_chg"))
    append(store, plan, frame.with_columns(*own))
    assert [(row[0], *row[4:]) for row in store.rows("r", "t")] == frame.rows()
    portions = [part.num_rows for part in review_rows._portions(batch.table_of(batch.encode(frame)))]
    assert (sum(portions), max(portions)) == (500, {1: 1, 3000: 46}.get(fills, 500))


@pytest.mark.parametrize("name", ["_id", "_src", "_chg"])
def test_a_row_without_what_every_row_has_fails_its_run(store: Store, name: str) -> None:
    store.add_run("r", plans={"t": PLAN})
    frame = framed([tuple([None] * len(COLUMN_TYPES))] * 3)
    frame = frame.with_columns(pl.when(pl.int_range(3) == 1).then(None).otherwise(pl.col(name)).alias(name))
    with pytest.raises(Fatal, match=f"rows without a value in column {name}"):
        append(store, PLAN, frame)
    assert store.rows("r", "t") == []


def test_a_number_that_its_column_does_not_hold_fails_its_run(store: Store) -> None:
    plan = TablePlan({"n": "int64"}, [], ["one"])
    store.add_run("r", plans={"t": plan})
    frame = pl.DataFrame({"_id": [1], "_src": [0], "_chg": [0], "n": pl.Series([2**63], dtype=pl.UInt64)})
    with pytest.raises(Fatal, match="a batch brings values in column n that are no int64"):
        append(store, plan, frame)
