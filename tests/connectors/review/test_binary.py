"""What columns hold stands in PostgreSQL after a binary COPY, read back as Python's values and as its own texts."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import numpy as np
import polars as pl
import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from connectors.review import binary
from schemas import batch
from schemas.errors import Fatal

pytestmark = pytest.mark.stack

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Kind:
    polars: pl.DataType
    postgres: str
    values: st.SearchStrategy[Any]


TRAPS = [
    "",
    "\\.",
    "\\N",
    "NULL",
    '"',
    ",",
    "\r\n",
    "\t",
    " x ",
    "\\x00",
    "é",
    "e\u0301",
    "\u2028",
    "\ufeff",
    "😀",
    "\U0010ffff",
]
TEXT = st.sampled_from(TRAPS) | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
SECONDS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
KINDS = {
    "int16": Kind(pl.Int16(), "smallint", st.integers(-(2**15), 2**15 - 1)),
    "int32": Kind(pl.Int32(), "integer", st.integers(-(2**31), 2**31 - 1)),
    "int64": Kind(pl.Int64(), "bigint", st.integers(-(2**63), 2**63 - 1)),
    "float64": Kind(pl.Float64(), "float8", st.floats(allow_nan=False)),
    "decimal": Kind(pl.Decimal(38, 9), "numeric", st.decimals(-(10**20), 10**20, places=9)),
    "string": Kind(pl.String(), "text", TEXT),
    "bool": Kind(pl.Boolean(), "boolean", st.booleans()),
    "date": Kind(pl.Date(), "date", st.dates()),
    "timestamp": Kind(pl.Datetime("us", "UTC"), "timestamptz", SECONDS.map(lambda at: at.replace(tzinfo=UTC))),
    "binary": Kind(pl.Binary(), "bytea", st.binary(max_size=12)),
}


@pytest.fixture(scope="module")
def conn(stack: Any) -> Iterator[Connection]:
    with psycopg.connect(stack.postgres.url, autocommit=True, options="-c TimeZone=UTC") as session:
        session.prepare_threshold = None  # the columns of `t` have other types in each test
        yield session


def on_its_way(frame: pl.DataFrame) -> pa.Table:
    """As a batch brings it."""
    return batch.table_of(batch.encode(frame))


def copied(conn: Connection, rows: pl.DataFrame | pa.Table, types: list[str], at_once: int = binary.SLICE) -> None:
    """Leaves rows in a table `t`, whose columns have their names."""
    table = on_its_way(rows) if isinstance(rows, pl.DataFrame) else rows
    names = [sql.Identifier(name) for name in table.column_names]
    typed = sql.SQL(", ").join(sql.SQL("{} " + kind).format(n) for n, kind in zip(names, types, strict=True))
    conn.execute("DROP TABLE IF EXISTS pg_temp.t")
    conn.execute(sql.SQL("CREATE TEMP TABLE t (metal_row serial, {})").format(typed))
    into = sql.SQL("COPY pg_temp.t ({}) FROM STDIN (FORMAT binary)").format(sql.SQL(", ").join(names))
    with conn.cursor() as cursor, cursor.copy(into) as copy:
        for piece in (binary.SIGNATURE, *binary.slices(table, at_once), binary.END):
            copy.write(piece)


def read(conn: Connection, what: str) -> list[tuple[Any, ...]]:
    return conn.execute(f"SELECT {what} FROM pg_temp.t ORDER BY metal_row".encode()).fetchall()


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """Columns of drawn types in a drawn order, some of them without a null."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=12))
    height = draw(st.integers(0, 20))
    cells = [KINDS[kind].values if draw(st.booleans()) else st.none() | KINDS[kind].values for kind in kinds]
    return kinds, [draw(st.lists(cell, min_size=height, max_size=height)) for cell in cells]


@settings(max_examples=150)
@given(table=tables(), before=st.integers(0, 9), at_once=st.integers(1, 9), chunked=st.booleans())
def test_columns_of_every_type_come_back(
    conn: Connection, table: tuple[list[str], list[list[Any]]], before: int, at_once: int, chunked: bool
) -> None:
    kinds, values = table
    made = [pl.Series(f"c{n}", v, dtype=KINDS[k].polars) for n, (k, v) in enumerate(zip(kinds, values, strict=True))]
    frame = pl.DataFrame(made)
    padded = pa.concat_tables([on_its_way(part) for part in (*[frame.head(1)] * before, frame)])
    cut = (padded if chunked else padded.combine_chunks())[padded.num_rows - frame.height :]
    copied(conn, cut, [KINDS[kind].postgres for kind in kinds], at_once)  # what stands before it must not be sent
    found = read(conn, ", ".join(f"c{n}" for n in range(len(kinds))))
    assert found == list(zip(*values, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("there", ["all", "none", "some"])
def test_every_type_with_nulls_and_without(conn: Connection, kind: str, there: str) -> None:
    value = {
        "decimal": Decimal("-1234567.000000001"),
        "string": "x",
        "bool": True,
        "date": date(1999, 12, 31),
        "timestamp": datetime(1999, 12, 31, 23, 59, 59, 999999, UTC),
        "binary": b"\0\xff",
    }.get(kind, 1)
    values = {"all": [value] * 3, "none": [None] * 3, "some": [None, value, None]}[there]
    frame = pl.DataFrame({"a": [1, 2, 3], "c": pl.Series(values, dtype=KINDS[kind].polars), "z": ["x", None, ""]})
    copied(conn, frame, ["bigint", KINDS[kind].postgres, "text"])
    assert read(conn, "a, c, z") == list(zip([1, 2, 3], values, ["x", None, ""], strict=True))


@pytest.mark.parametrize(("at_once", "pieces"), [(1, 7), (2, 4), (3, 3), (100, 1)])
def test_no_more_rows_than_asked_for_are_built_at_one_time(at_once: int, pieces: int) -> None:
    frame = pl.DataFrame({"n": range(7)})
    sent = list(binary.slices(on_its_way(frame), at_once))
    assert [len(piece) for piece in sent] == [14 * part.height for part in frame.iter_slices(at_once)]
    assert len(sent) == pieces


def test_a_frame_without_rows_is_a_stream_without_rows(conn: Connection) -> None:
    copied(conn, pl.DataFrame(schema={"n": pl.Int64, "x": pl.String}), ["bigint", "text"])
    assert read(conn, "n, x") == []


def test_what_lies_below_a_null_is_not_sent(conn: Connection) -> None:
    numbers = pa.array([1, 2, 3]).buffers()[1]
    texts = pa.array(["ab", "cd", "ef"]).buffers()
    known = pa.array([True, False, True]).buffers()[1]
    table = pa.table(
        {
            "n": pa.Array.from_buffers(pa.int64(), 3, [known, numbers]),
            "x": pa.Array.from_buffers(pa.string(), 3, [known, *texts[1:]]),
            "b": pa.Array.from_buffers(pa.binary(), 3, [known, *texts[1:]]),
        }
    )
    copied(conn, table, ["bigint", "text", "bytea"])
    assert read(conn, "n, x, b") == [(1, "ab", b"ab"), (None, None, None), (3, "ef", b"ef")]


EDGES = [10**n + d for n in range(38) for d in (-1, 0, 1)] + [
    2**n + d for n in (31, 32, 63, 64, 96, 126) for d in (-1, 0, 1)
]
UNSCALED = st.sampled_from([*EDGES, 10**38 - 1]) | st.integers(0, 10**38 - 1) | st.integers(0, 10**6)
NUMBERS = st.lists(st.none() | st.tuples(st.booleans(), UNSCALED), min_size=1, max_size=20)


@settings(max_examples=200)
@given(drawn=NUMBERS, scale=st.integers(0, 38))
def test_decimals_keep_every_digit_and_their_scale(
    conn: Connection, drawn: list[tuple[bool, int] | None], scale: int
) -> None:
    exact = Context(prec=80)
    numbers = [d if d is None else exact.scaleb(Decimal(-d[1] if d[0] else d[1]), -scale) for d in drawn]
    frame = pl.DataFrame({"n": pl.Series(numbers, dtype=pl.Decimal(38, scale))})
    copied(conn, frame, ["numeric"])
    # adding nought makes a zero's sign a plus, as PostgreSQL has no other
    assert read(conn, "n::text") == [(n if n is None else format(exact.add(n, Decimal(0)), "f"),) for n in numbers]
    same = "numeric_send(n) = numeric_send(n::text::numeric)"  # no zeros are stored that its own would not have
    assert read(conn, same) == [(None if n is None else True,) for n in numbers]


def test_floats_keep_every_bit(conn: Connection) -> None:
    numbers = [0.0, -0.0, float("inf"), float("-inf"), 5e-324, -5e-324, 1.7976931348623157e308, 0.1, 1 / 3]
    copied(conn, pl.DataFrame({"x": numbers}), ["float8"])
    assert read(conn, "float8send(x)") == [(struct.pack(">d", number),) for number in numbers]


def test_of_all_nans_postgresql_gets_the_one_it_writes(conn: Connection) -> None:
    patterns = np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0x7FFFFFFFFFFFFFFF], np.uint64)
    copied(conn, pl.DataFrame({"x": [*patterns.view(np.float64), None]}), ["float8"])
    own = conn.execute("SELECT float8send('NaN')").fetchone()
    assert read(conn, "float8send(x)") == [own] * 4 + [(None,)]


FIRST_DAY, LAST_DAY = -2_440_588, 2_145_042_905  # of PostgreSQL, counted from 1970-01-01


@settings(max_examples=60)
@given(days=st.lists(st.none() | st.integers(FIRST_DAY, LAST_DAY), min_size=1, max_size=20))
def test_every_date_that_postgresql_has(conn: Connection, days: list[int | None]) -> None:
    days = [*days, FIRST_DAY, LAST_DAY]
    copied(conn, pl.DataFrame({"d": pl.Series(days, dtype=pl.Int32).cast(pl.Date)}), ["date"])
    assert read(conn, "d - DATE '1970-01-01'") == [(day,) for day in days]
    assert read(conn, "d::text")[-2:] == [("4714-11-24 BC",), ("5874897-12-31",)]


FIRST_MOMENT = FIRST_DAY * 86_400_000_000
LAST_MOMENT = 2**63 - 1  # polars knows no later one; PostgreSQL does, until 294276-12-31


@settings(max_examples=60)
@given(counts=st.lists(st.none() | st.integers(FIRST_MOMENT, LAST_MOMENT), min_size=1, max_size=20))
def test_every_moment_that_postgresql_has(conn: Connection, counts: list[int | None]) -> None:
    counts = [*counts, FIRST_MOMENT, LAST_MOMENT]
    copied(conn, pl.DataFrame({"t": pl.Series(counts, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))}), ["timestamptz"])
    found = read(conn, "extract(epoch FROM date_trunc('second', t)), extract(microseconds FROM t) % 1000000")
    assert found == [(None, None) if count is None else divmod(count, 1_000_000) for count in counts]
    assert read(conn, "t::text")[-2] == ("4714-11-24 00:00:00+00 BC",)


@pytest.mark.parametrize("day", [-(2**31), -(2**31) + 10_957, FIRST_DAY - 1, LAST_DAY + 1, 2**31 - 1])
def test_a_date_beyond_them_is_refused(conn: Connection, day: int) -> None:
    frame = pl.DataFrame({"d": pl.Series([0, day], dtype=pl.Int32).cast(pl.Date)})
    with pytest.raises(psycopg.errors.DatetimeFieldOverflow) as refusal:
        copied(conn, frame, ["date"])
    assert refusal.value.diag.context == "COPY t, line 2, column d"


@pytest.mark.parametrize("count", [-(2**63), -(2**63) + 946_684_800_000_000, FIRST_MOMENT - 1])
def test_a_moment_beyond_them_is_refused(conn: Connection, count: int) -> None:
    frame = pl.DataFrame({"t": pl.Series([0, count], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))})
    with pytest.raises(psycopg.errors.DatetimeFieldOverflow) as refusal:
        copied(conn, frame, ["timestamptz"])
    assert refusal.value.diag.context == "COPY t, line 2, column t"


def test_a_text_with_a_nul_is_refused_by_its_column(conn: Connection) -> None:
    with pytest.raises(psycopg.errors.CharacterNotInRepertoire) as refusal:
        copied(conn, pl.DataFrame({"n": [1, 2], "x": ["a", "a\0b"]}), ["bigint", "text"])
    assert (refusal.value.diag.context or "").startswith("COPY t, line 2, column x")


@pytest.mark.parametrize(
    "dtype", [pl.Float32, pl.UInt64, pl.Int8, pl.Time, pl.Datetime("ns"), pl.Duration, pl.List(pl.Int64)]
)
def test_a_type_that_the_review_store_has_not_is_named(dtype: Any) -> None:
    with pytest.raises(Fatal, match=r"column x is .*, for which the review store has no type"):
        list(binary.slices(on_its_way(pl.DataFrame({"x": pl.Series([None, None], dtype=dtype)}))))


def test_long_texts_stand_whole_beside_short_ones(conn: Connection) -> None:
    texts = ["é" * 300_000, "", None, "x"]
    blobs = [b"\0", bytes(range(256)) * 4096, b"", None]
    copied(conn, pl.DataFrame({"x": texts, "b": blobs}), ["text", "bytea"])
    assert read(conn, "x, b") == list(zip(texts, blobs, strict=True))


def test_a_day_is_as_long_as_it_was(conn: Connection) -> None:
    """Counts begin in 1970 there and in 2000 here."""
    day = date(2000, 1, 1)
    at = [datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=n) for n in (-1, 0, 1)]
    dates = [day - timedelta(days=1), day, day + timedelta(days=1)]
    copied(conn, pl.DataFrame({"d": dates, "t": at}), ["date", "timestamptz"])
    assert read(conn, "d, t") == list(zip(dates, at, strict=True))
