"""Narrowing: what was narrowed comes back, and nothing is wider than its values need."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import batch, tokens
from schemas.errors import Fatal
from schemas.narrow import Narrowed, narrow, widen

ENDS = [edge for bits in (0, 7, 8, 15, 16, 31, 32, 63, 64) for edge in (2**bits - 1, 2**bits, 2**bits + 1)]
EDGES = sorted({sign * edge for edge in ENDS for sign in (1, -1)})
RANGES = {
    pl.Int64: (-(2**63), 2**63 - 1),
    pl.UInt64: (0, 2**64 - 1),
    pl.Int32: (-(2**31), 2**31 - 1),
    pl.UInt32: (0, 2**32 - 1),
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(
    ["x" * 255, "y" * 256, "z" * 65_536]
)


def back(frame: pl.DataFrame) -> pl.DataFrame:
    fixed, texts = narrow(frame)
    found = pl.from_arrow(widen(fixed, [text.data for text in texts]))
    assert isinstance(found, pl.DataFrame)
    return found


def least_bits(values: list[int], most: int) -> int:
    """Of the integer types that hold all of the values, by trying each."""
    for bits in (8, 16, 32, 64):
        signed = any(value < 0 for value in values)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        if all(low <= value <= high for value in values):
            return min(bits, most)
    raise AssertionError("no type holds these")


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(list(RANGES)))
def test_integers_are_as_narrow_as_their_values(data: st.DataObject, kind: Any) -> None:
    low, high = RANGES[kind]
    inside = st.sampled_from([edge for edge in EDGES if low <= edge <= high]) | st.integers(low, high)
    values = data.draw(st.lists(st.none() | inside, max_size=5))
    frame = pl.DataFrame({"a": pl.Series(values, dtype=kind)})
    fixed = narrow(frame).fixed
    there = [value for value in values if value is not None]
    if there:
        assert fixed.schema.field("a").type.bit_width == least_bits(there, 32 if kind in (pl.Int32, pl.UInt32) else 64)
    assert back(frame).equals(frame)
    assert back(frame).schema == frame.schema


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | TEXT, max_size=6), st.integers(0, 3), st.booleans())
def test_texts_become_lengths_and_bytes(values: list[str | None], skipped: int, as_binary: bool) -> None:
    """Also those of a frame that was cut out of another."""
    column = pl.Series(["before"] * skipped + values, dtype=pl.String)
    frame = pl.DataFrame({"a": column.cast(pl.Binary) if as_binary else column})[skipped:]
    fixed, (text,) = narrow(frame)
    sizes = [None if value is None else len(value.encode()) for value in values]
    assert fixed.column(0).to_pylist() == sizes
    assert bytes(text.data) == b"".join((value or "").encode() for value in values)
    for start in range(len(values)):
        assert bytes(text.between(start, len(values))) == b"".join((v or "").encode() for v in values[start:])
    if any(size is not None for size in sizes):
        most = max(size or 0 for size in sizes)
        assert fixed.schema.field(0).type == (
            pa.uint8() if most < 256 else pa.uint16() if most < 65_536 else pa.uint32()
        )
    assert back(frame).equals(frame)
    assert back(frame).schema == frame.schema


def test_a_column_of_nothing_takes_no_room() -> None:
    frame = pl.DataFrame(
        {"a": pl.Series([None] * 1000, dtype=pl.String), "b": pl.Series([None] * 1000, dtype=pl.Int64)}
    )
    assert narrow(frame).fixed.nbytes == 0
    assert back(frame).equals(frame)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.binary(min_size=16, max_size=16), max_size=6), st.integers(0, 3), st.booleans())
def test_tokens_come_back_as_text(values: list[bytes | None], skipped: int, pick: bool) -> None:
    whole = [bytes(16)] * skipped + values
    blocks = np.frombuffer(b"".join(value or b"?" * 16 for value in whole), dtype=np.uint8).reshape(-1, 16)
    missing = np.array([value is None for value in whole], dtype=np.bool_)
    frame = pl.DataFrame([tokens.column("a", blocks, missing if missing.any() else None)])[skipped:]
    assert frame.schema == {"a": tokens.BITS}
    expected = [None if value is None else f"tok_{value.hex()}" for value in values]
    fixed, texts = narrow(frame)
    assert fixed.schema.field(0).type.byte_width == 16
    assert texts == []
    assert widen(fixed, []).column(0).to_pylist() == expected
    assert back(frame).schema == {"a": pl.String}
    if pick and values:
        last = [len(values) - 1]
        assert Narrowed(fixed, []).take(pa.array(last)).column(0).to_pylist() == expected[-1:]
    (sent,) = batch.decode(batch.encode(frame)).iter_columns()
    assert sent.to_list() == expected


def test_tokens_of_another_size_are_refused() -> None:
    field = pa.field("a", pa.binary(8), metadata={"was": "token"})
    with pytest.raises(Fatal, match=r"tokens that are fixed_size_binary\[8\], and they are fixed_size_binary\[16\]"):
        widen(pa.RecordBatch.from_arrays([pa.array([bytes(8)], pa.binary(8))], schema=pa.schema([field])), [])


def test_what_does_not_fit_together_is_refused() -> None:
    fixed, (text,) = narrow(pl.DataFrame({"a": ["abc", "d"]}))
    with pytest.raises(Fatal, match="not as long as it says"):
        widen(fixed, [text.data.slice(1)])
    with pytest.raises(Fatal, match="1 columns of texts, and 0 came"):
        widen(fixed, [])
    other = pa.schema([fixed.schema.field(0).with_metadata({"was": "complex"})])
    with pytest.raises(Fatal, match="was b'complex', which this version does not know"):
        widen(pa.RecordBatch.from_arrays(fixed.columns, schema=other), [])
