from __future__ import annotations

import hashlib
import struct
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.certificates.digest import RowsDigest, header, lines
from schemas.columns import ColumnType, polars_type

COLUMNS: dict[str, ColumnType] = {"s": "string", "i": "int64", "f": "float64", "b": "bool", "y": "binary"}
ROWS = st.lists(
    st.tuples(
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(),
        st.none() | st.booleans(),
        st.none() | st.binary(max_size=3),
    ),
    max_size=12,
)


def frame_of(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={name: polars_type(kind) for name, kind in COLUMNS.items()}, orient="row")


def digest_of(*frames: pl.DataFrame) -> str:
    digest = RowsDigest(COLUMNS)
    for frame in frames:
        digest.add(frame)
    return digest.hexdigest()


def oracle(rows: list[tuple[Any, ...]]) -> str:
    """The definition, word for word."""
    hashes = sorted(hashlib.sha256(b",".join(map(_field, row))).digest() for row in rows)
    return hashlib.sha256(hashlib.sha256(header(COLUMNS)).digest() + b"".join(hashes)).hexdigest()


def _field(value: Any) -> bytes:
    if value is None:
        return b"-"
    if isinstance(value, float):
        value = float("nan") if value != value else value + 0.0
        text = str(struct.unpack(">Q", struct.pack(">d", value))[0] if value == value else 0x7FF8 << 48).encode()
    elif isinstance(value, bool):
        text = str(value).lower().encode()
    elif isinstance(value, bytes):
        text = value.hex().encode()
    else:
        text = str(value).encode()
    return b"%d:%s" % (len(text), text)


@settings(max_examples=60)
@given(ROWS, st.randoms(), st.integers(0, 12))
def test_neither_order_nor_pieces_count(rows: list[tuple[Any, ...]], random: Any, cut: int) -> None:
    whole = digest_of(frame_of(rows))
    assert whole == oracle(rows)
    random.shuffle(rows)
    assert digest_of(frame_of(rows[:cut]), frame_of(rows[cut:])) == whole


@settings(max_examples=60)
@given(ROWS, ROWS)
def test_other_rows_have_another_digest(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> None:
    same = sorted(b",".join(map(_field, row)) for row in one) == sorted(b",".join(map(_field, row)) for row in other)
    assert (digest_of(frame_of(one)) == digest_of(frame_of(other))) == same


def test_lines_are_what_the_module_says() -> None:
    frame = pl.DataFrame({"s": ["é", None, "-"], "n": pl.Series(["1.50", "100", "-0.001"]).cast(pl.Decimal(38, 3))})
    assert lines(frame, {"s": "string", "n": "decimal"}) == ["2:é,3:1.5".encode(), b"-,3:100", b"1:-,6:-0.001"]
    assert header({"s": "string"}) == b"1:s,6:string"
    assert lines(frame.clear(), {"s": "string"}) == []


def test_columns_and_repeated_rows_count() -> None:
    row = (None, 1, None, None, None)
    assert digest_of(frame_of([row])) != digest_of(frame_of([row, row]))
    other = RowsDigest({**COLUMNS, "i": "decimal"})
    other.add(frame_of([]))
    assert other.hexdigest() != digest_of()


def test_many_rows_fill_every_spool() -> None:
    rows = [(str(n), n, n / 3, n % 2 == 0, None) for n in range(5_000)]
    assert digest_of(frame_of(rows)) == oracle(rows)
