"""A batch comes back as it was, through any Arrow reader; what is no batch is refused."""

from __future__ import annotations

import datetime as dt
import uuid
from contextlib import suppress
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import batch, extracted
from schemas.columns import COLUMN_TYPES, polars_type
from schemas.errors import Fatal

KEY = bytes(range(32))
SCHEMA = {kind: polars_type(kind) for kind in COLUMN_TYPES}  # type: ignore[arg-type]  # each of them is a type
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_nan=False),
    "decimal": st.integers(-(10**30), 10**30).map(lambda n: Decimal(n).scaleb(-9)),
    "bool": st.booleans(),
    "date": st.dates(),
    "timestamp": st.datetimes(timezones=st.just(dt.UTC)),
    "binary": st.binary(max_size=8),
    "json": TEXT,
}
ROWS = st.lists(st.fixed_dictionaries({kind: st.none() | value for kind, value in VALUES.items()}), max_size=8)


def frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_round_trip(rows: list[dict[str, Any]]) -> None:
    frame = frame_of(rows)
    payload = batch.encode(frame)
    for given_as in (payload, memoryview(payload)):
        found = batch.decode(given_as)
        assert found.schema == frame.schema
        assert found.equals(frame)
    assert batch.encode(frame) == payload  # the same bytes again
    source = pa.BufferReader(payload)  # any reader of Arrow finds a row for each, and then the bytes of the texts
    assert pa.ipc.open_stream(source).read_all().num_rows == len(rows)
    apart = pa.ipc.open_stream(source).read_all()
    assert (apart.num_rows, apart.num_columns) == (1, sum(SCHEMA[kind] in (pl.String, pl.Binary) for kind in SCHEMA))
    assert source.tell() == len(payload)


def test_texts_are_packed_where_that_pays() -> None:
    again = pl.DataFrame({"a": ["the same words again"] * 5_000})
    assert len(batch.encode(again)) < 5_000 * 3
    assert batch.decode(batch.encode(again)).equals(again)
    random = pl.DataFrame(
        {"a": [uuid.UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).hex for n in range(5_000)]}
    )
    _, fields = _streams(batch.encode(random))
    assert fields.field(0).metadata is None
    assert batch.decode(batch.encode(random)).equals(random)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 400), max_size=40), st.integers(1, 12), st.integers(50, 2_000))
def test_pieces_fit_a_message_however_wide_some_rows_are(
    monkeypatch: pytest.MonkeyPatch, widths: list[int], rows: int, most: int
) -> None:
    monkeypatch.setattr(batch, "MAX_ROWS", rows)
    monkeypatch.setattr(batch, "PIECE_BYTES", most)
    frame = pl.DataFrame(
        {"n": range(len(widths)), "a": ["x" * n for n in widths]}, schema={"n": pl.Int64, "a": pl.String}
    )
    found = list(batch.pieces(frame))
    assert pl.concat(found).equals(frame)
    assert all(part.height == 1 or (part.height <= rows and batch.most_bytes(part) <= most) for part in found if widths)
    assert len(found) == 1 or all(part.height for part in found)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_a_batch_is_not_larger_than_foretold(rows: list[dict[str, Any]]) -> None:
    """But for what describes its columns, and what fills up the last word of each."""
    frame = pl.concat([frame_of(rows)] * 50)
    fixed = len(batch.encode(frame.clear()))
    assert len(batch.encode(frame)) <= fixed + batch.most_bytes(frame) + 256 * frame.width


def _streams(payload: bytes) -> tuple[pa.Schema, pa.Schema]:
    source = pa.BufferReader(payload)
    first, second = (pa.ipc.open_stream(source).read_all().schema for _ in range(2))
    return first, second


@settings(deadline=None)
@given(st.data())
def test_what_was_changed_is_refused_or_another_table(data: st.DataObject) -> None:
    """Outbox batches are not sealed: whatever stands in one, reading it ends in a table or is refused with a reason."""
    payload = bytearray(batch.encode(pl.DataFrame({"a": ["x" * 60] * 400, "b": ["y", None] * 200, "c": range(400)})))
    payload[data.draw(st.integers(0, len(payload) - 9))] ^= data.draw(st.integers(1, 255))
    with suppress(Fatal):
        assert batch.table_of(bytes(payload)).num_columns == 3


def test_a_batch_of_an_earlier_version_is_read() -> None:
    """One stream of Arrow's own, packed by lz4."""
    frame = frame_of([dict.fromkeys(SCHEMA), {**dict.fromkeys(SCHEMA), "string": "x", "int64": 1}])
    table, sink = frame.to_arrow(compat_level=pl.CompatLevel.oldest()), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    assert batch.decode(bytes(sink.getvalue())).equals(frame)


def test_pieces_leave_as_one() -> None:
    one = pl.DataFrame({"a": [1, 2]})
    assert batch.encode(pl.concat([one, one], rechunk=False)) == batch.encode(pl.DataFrame({"a": [1, 2, 1, 2]}))


@given(st.binary(max_size=80))
def test_what_is_no_batch_is_refused(payload: bytes) -> None:
    with pytest.raises(Fatal, match="not an Arrow stream"):
        batch.decode(payload)


def test_a_batch_that_is_cut_off_is_refused() -> None:
    payload = batch.encode(pl.DataFrame({"a": range(1000), "b": ["x"] * 1000}))
    for end in range(len(payload)):
        with pytest.raises(Fatal, match="not an Arrow stream"):
            batch.decode(payload[:end])


@settings(max_examples=30, deadline=None)
@given(ROWS, ROWS)
def test_rows_and_rejects_travel_sealed_together(rows: list[dict[str, Any]], bad: list[dict[str, Any]]) -> None:
    there, rejects, _ = extracted.unseal(extracted.seal(frame_of(rows), frame_of(bad), KEY), KEY)
    for found, was in ((there, rows), (rejects, bad)):
        assert (found is None) == (not was)
        assert found is None or found.equals(frame_of(was))


@given(st.data())
def test_what_was_changed_on_its_way_is_refused(data: st.DataObject) -> None:
    frame = pl.DataFrame({"a": [1]})
    sealed = bytearray(extracted.seal(frame, frame.clear(), KEY))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Fatal, match="does not open"):
        extracted.unseal(bytes(sealed), KEY)
