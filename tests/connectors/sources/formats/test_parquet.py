"""Parquet: every type that a column may have there, and files that are damaged or replaced."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.sources.contract import Chunk, Context, Position
from connectors.sources.formats import parquet as formats_parquet
from connectors.sources.parquet import Parquet
from schemas.errors import Fatal
from schemas.task.model import Column


def source(folder: Path, columns: dict[str, Column], **limits: Any) -> Any:
    return Parquet.open(Parquet.Config(path="x.parquet"), columns, Context(base=folder, **limits))


def read(folder: Path, array: pa.Array, column: Column, position: Position | None = None) -> list[Chunk]:
    pq.write_table(pa.table({"c": array}), folder / "x.parquet")
    opened = source(folder, {"c": column})
    return [chunk for split in opened.splits() for chunk in opened.read(split, position)]


MOMENT = datetime(2024, 2, 29, 12, 0, 0, 5, tzinfo=UTC)
FITS = [
    ("int64", pa.array([1, None], pa.int8()), [1, None]),
    ("int64", pa.array([2**63 - 1], pa.uint64()), [2**63 - 1]),
    ("int64", pa.array([1.0, -5.0], pa.float64()), [1, -5]),
    ("int64", pa.array([" 7", "1.0"], pa.string()), [7, 1]),
    ("int64", pa.array([Decimal("3.00")], pa.decimal128(9, 2)), [3]),
    ("float64", pa.array([1, 2], pa.int32()), [1.0, 2.0]),
    ("float64", pa.array([0.5], pa.float32()), [0.5]),
    ("decimal", pa.array([Decimal("1.25")], pa.decimal128(20, 2)), [Decimal("1.25")]),
    ("decimal", pa.array([Decimal("1.250000")], pa.decimal128(20, 6)), [Decimal("1.25")]),
    ("decimal", pa.array([0.1], pa.float64()), [Decimal("0.1")]),
    ("decimal", pa.array([7], pa.int16()), [Decimal(7)]),
    ("string", pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    ("string", pa.array(["a"], pa.large_string()), ["a"]),
    ("string", pa.array([b"\xc3\xa9"], pa.binary()), ["é"]),
    ("string", pa.array([5, None], pa.int64()), ["5", None]),
    ("bool", pa.array([True, None]), [True, None]),
    ("date", pa.array([date(2024, 2, 29)], pa.date32()), [date(2024, 2, 29)]),
    ("timestamp", pa.array([MOMENT], pa.timestamp("us", "Europe/Paris")), [MOMENT]),
    ("timestamp", pa.array([MOMENT], pa.timestamp("ns", "UTC")), [MOMENT]),
    ("timestamp", pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("us")), [MOMENT]),
    ("timestamp", pa.array([date(2024, 2, 29)], pa.date32()), [datetime(2024, 2, 29, tzinfo=UTC)]),
    ("binary", pa.array([b"\x00\xff"], pa.binary()), [b"\x00\xff"]),
    ("json", pa.array([{"a": [1]}, None]), ['{"a":[1]}', None]),
    ("int64", pa.nulls(2), [None, None]),
]


@pytest.mark.parametrize(("kind", "array", "expected"), FITS)
def test_types_that_fit(tmp_path: Path, kind: Any, array: pa.Array, expected: list[Any]) -> None:
    (chunk,) = read(tmp_path, array, Column(type=kind, scale=2))
    assert chunk.frame["c"].to_list() == expected
    assert chunk.rejects.height == 0


REFUSED = [
    ("int64", pa.array([1, 2**63], pa.uint64())),
    ("int64", pa.array([1.0, 1.5], pa.float64())),
    ("int64", pa.array([1.0, float("nan")], pa.float64())),
    ("int64", pa.array([1.0, 2.0**63], pa.float64())),
    ("float64", pa.array([1.0, float("inf")], pa.float64())),
    ("decimal", pa.array([Decimal("1.000"), Decimal("1.005")], pa.decimal128(9, 3))),
    ("decimal", pa.array([0.5, 0.125], pa.float64())),
    ("string", pa.array([b"ok", b"\xff"], pa.binary())),
    ("string", pa.array(["ok", "a\0"], pa.string())),
    ("timestamp", pa.array([1_000, 1_001], pa.timestamp("ns"))),
    ("bool", pa.array(["true", "maybe"])),
    ("json", pa.array(["{}", "{"])),
]


@pytest.mark.parametrize(("kind", "array"), REFUSED)
def test_a_value_that_does_not_fit_is_rejected_alone(tmp_path: Path, kind: Any, array: pa.Array) -> None:
    (chunk,) = read(tmp_path, array, Column(type=kind, scale=2))
    assert (chunk.frame.height, chunk.read) == (1, 2)
    assert chunk.rejects.select("_line", "_column").rows() == [(2, "c")]


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("int64", pa.array([date(2024, 1, 1)])),
        ("bool", pa.array([1])),
        ("date", pa.array([1.5])),
        ("string", pa.array([[1]])),
        ("timestamp", pa.array([5])),
        ("binary", pa.array([5])),
    ],
)
def test_a_type_that_can_never_fit_is_a_mistake(tmp_path: Path, kind: Any, array: pa.Array) -> None:
    with pytest.raises(Fatal, match=rf"x\.parquet: column c is of .* no {kind}"):
        read(tmp_path, array, Column(type=kind))


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "inside"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"c": list(range(10_000))}), file, compression="zstd", write_page_checksum=True)
    whole = file.read_bytes()
    data = {"empty": b"", "cut": whole[:-20], "garbage": b"PAR1junkPAR1"}.get(damage)
    file.write_bytes(whole[:40] + bytes(2000) + whole[2040:] if data is None else data)
    opened = source(tmp_path, {"c": Column(type="int64")})
    with pytest.raises(Fatal, match=r"x\.parquet"):
        [list(opened.read(split, None)) for split in opened.splits()]


def test_row_groups_are_splits_and_positions_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats_parquet, "SPLIT_BYTES", 3000)
    monkeypatch.setattr("connectors.sources.parquet.SPLIT_BYTES", 3000)
    numbers = list(range(2000))
    pq.write_table(pa.table({"c": numbers, "other": numbers}), tmp_path / "x.parquet", row_group_size=300)
    opened = source(tmp_path, {"c": Column(type="int64")}, chunk_rows=77)
    splits = opened.splits()
    assert len(splits) > 1
    chunks = [chunk for split in splits for chunk in opened.read(split, None)]
    assert [row for chunk in chunks for row in chunk.frame["c"].to_list()] == numbers
    assert [row for chunk in chunks for row in chunk.frame["_line"].to_list()] == [n + 1 for n in numbers]
    assert opened.unknown_columns == {"other"}


def test_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    (chunk,) = read(tmp_path, pa.array([1, 2]), Column(type="int64"))
    with pytest.raises(Fatal, match="replaced"):
        read(tmp_path, pa.array([1, 3]), Column(type="int64"), chunk.position)
