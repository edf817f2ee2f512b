"""Segments: what goes in comes out, point reads and walks agree with the plain rows, nothing opens without the key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.segments import walk as walking
from processors.segments.blocks import Block, together
from processors.segments.format import Segment, build, from_bytes, lookup
from processors.segments.walk import AHEAD, RANGE_BYTES, ranges, walk
from schemas.columns import HASH
from schemas.errors import Fatal

KEY = bytes(range(32))
hashes = st.lists(st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2**63, 2**64 - 1])), max_size=60)


def frame_of(values: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {HASH: pl.Series(values, dtype=pl.UInt64), "text": [f"row {i}" for i in range(len(values))]},
        schema={HASH: pl.UInt64, "text": pl.String},
    ).sort(HASH)


def same(left: pl.DataFrame, right: pl.DataFrame) -> bool:
    return left.select(HASH, "text").sort(HASH, "text").equals(right.select(HASH, "text").sort(HASH, "text"))


@given(hashes, st.integers(1, 9))
def test_rows_come_back(values: list[int], block_rows: int) -> None:
    frame = frame_of(values)
    segment = from_bytes(build(frame, KEY, block_rows), KEY)
    assert segment.rows == frame.height
    back = segment.all()
    assert (back is None) == (frame.height == 0)
    if back is not None:
        assert same(back, frame)


@given(hashes, hashes, st.integers(1, 9))
def test_a_point_read_finds_exactly_the_wanted(values: list[int], others: list[int], block_rows: int) -> None:
    frame = frame_of(values)
    wanted = np.unique(np.array(others + values[::2], dtype=np.uint64))
    found = lookup([from_bytes(build(frame, KEY, block_rows), KEY)], wanted)
    expected = frame.filter(pl.col(HASH).is_in(wanted.tolist()))
    assert same(found if found is not None else frame.clear(), expected)


@given(st.lists(hashes, max_size=5), hashes, st.integers(1, 9))
def test_a_point_read_of_several_segments(parts: list[list[int]], others: list[int], block_rows: int) -> None:
    frames = [frame_of(part) for part in parts]
    wanted = np.unique(np.array(others + [value for part in parts for value in part[::2]], dtype=np.uint64))
    found = lookup([from_bytes(build(frame, KEY, block_rows), KEY) for frame in frames], wanted)
    expected = pl.concat([frame_of([]), *frames]).filter(pl.col(HASH).is_in(wanted.tolist()))
    assert same(found if found is not None else expected.clear(), expected)


@given(st.lists(hashes, max_size=5), st.integers(1, 100), st.integers(1, 60))
def test_a_walk_gives_each_hash_once_and_in_order(parts: list[list[int]], count: int, block_rows: int) -> None:
    frames = [frame_of(part) for part in parts]
    segments = [from_bytes(build(frame, KEY, block_rows), KEY) for frame in frames]
    numbered = list(walk(segments, count))
    walked = [frame for _, frame in numbered]
    last = -1
    for number, frame in numbered:
        column = frame.get_column(HASH).to_list()
        assert column == sorted(column)
        assert number * 2**64 // count <= column[0]
        assert column[-1] < (number + 1) * 2**64 // count
        assert column[0] > last
        last = column[-1]
    whole = pl.concat([frame_of([]), *(f.select(HASH, "text") for f in walked)])
    assert same(whole, pl.concat([*frames, frame_of([])]))


@given(hashes, st.integers(1, 5), st.integers(1, 4))
def test_ranges_do_not_depend_on_how_rows_are_spread(values: list[int], count: int, pieces: int) -> None:
    frame = frame_of(values)
    whole = [(n, sorted(f.get_column("text"))) for n, f in walk([from_bytes(build(frame, KEY, 4), KEY)], count)]
    spread = [from_bytes(build(frame.gather_every(pieces, i), KEY, 3), KEY) for i in range(pieces)]
    assert [(n, sorted(f.get_column("text"))) for n, f in walk(spread, count)] == whole


def test_blocks_are_opened_once_and_cut_where_a_range_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in a third of the space, as a partition's are."""
    rows, count = 3_000, 60
    frame = frame_of([number * (2**64 // 3 // rows) for number in range(rows)])
    segments = [from_bytes(build(frame.gather_every(30, i), KEY, 10), KEY) for i in range(30)]
    joined: list[int] = []
    opened: list[int] = []
    make, read = walking.together, Segment.block

    def counted(blocks: Iterable[Block]) -> pl.DataFrame | None:
        held = list(blocks)
        joined.append(sum(len(block.hashes) for block in held))
        return make(held)

    def told(segment: Segment, number: int) -> Block:
        opened.append(number)
        return read(segment, number)

    monkeypatch.setattr(walking, "together", counted)
    monkeypatch.setattr(Segment, "block", told)
    assert same(pl.concat([found for _, found in walk(segments, count)]), frame)
    assert len(opened) == sum(segment.blocks for segment in segments) == 300
    assert sum(joined) == rows
    assert max(joined) <= 151  # 20 of 60 ranges have rows


def test_a_block_is_not_cut_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces that wait take memory: of one block there are a few, however many ranges it has rows of."""
    made: list[int] = []
    cut = Block.cut

    def counted(block: Block, starts: Sequence[int]) -> list[Block]:
        made.append(len(starts))
        return cut(block, starts)

    monkeypatch.setattr(Block, "cut", counted)
    frame = frame_of([number * 2**57 for number in range(128)])
    found = list(walk([from_bytes(build(frame, KEY, 128), KEY)], 128))
    assert [(number, rows.height) for number, rows in found] == [(number, 1) for number in range(128)]
    assert max(made) == AHEAD + 1


WIDE = {
    "n": pl.Series([None, 2**40, -1, 7], dtype=pl.Int64),
    "text": pl.Series(["a", None, "b" * 300, ""], dtype=pl.String),
    "bytes": pl.Series([b"\x00", None, b"", b"\xff" * 9], dtype=pl.Binary),
    "amount": pl.Series([None, "1.5", "-2.25", "1e9"], dtype=pl.String).cast(pl.Decimal(38, 9)),
    "flag": pl.Series([True, None, False, True], dtype=pl.Boolean),
    "at": pl.Series([None, 0, 1, 2**50], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
    "share": pl.Series([0.1, None, float("-inf"), 0.0], dtype=pl.Float64),
}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
def test_a_block_is_cut_between_any_two_rows(places: list[int], data: st.DataObject) -> None:
    frame = pl.DataFrame(WIDE)[places].with_columns(pl.Series(HASH, range(len(places)), dtype=pl.UInt64))
    cuts = data.draw(st.sets(st.integers(0, len(places) - 1)))
    pieces = from_bytes(build(frame, KEY, len(places)), KEY).block(0).cut(sorted({0, *cuts}))
    found = [rows for piece in pieces if (rows := together([piece])) is not None]
    assert pl.concat(found).equals(frame)
    joined = together(reversed(pieces))
    assert joined is not None
    assert joined.equals(frame)


@given(st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 3))
def test_segments_that_are_narrowed_differently_meet(parts: list[list[int]], block_rows: int, count: int) -> None:
    """Some hold only nulls, only small numbers or only short texts; they come back alike, in walks and point reads."""
    rows = pl.DataFrame(WIDE)
    frames, number = [], 0
    for part in parts:
        hashes = pl.Series(HASH, range(number, number + len(part)), dtype=pl.UInt64) * (2**64 // 64)
        frames.append(rows[part].with_columns(hashes))
        number += len(part)
    segments = [from_bytes(build(frame, KEY, block_rows), KEY) for frame in frames]
    expected = pl.concat(frames)
    walked = pl.concat([expected.clear(), *(frame for _, frame in walk(segments, count))])
    assert walked.equals(expected)
    every = expected.get_column(HASH).to_numpy()
    found = lookup(segments, every[::2]) if number else None
    assert (found is None) == (number == 0)
    assert found is None or found.sort(HASH).equals(expected.gather_every(2))


def test_a_segment_of_an_earlier_version_is_told() -> None:
    with pytest.raises(Fatal, match="earlier version of metal: start its run again"):
        from_bytes(b"MSG1" + bytes(64), KEY)


def test_a_segment_shows_nothing_without_its_key() -> None:
    payload = build(frame_of([1, 2, 3]).with_columns(pl.lit("planted-value").alias("secret")), KEY)
    assert b"planted" not in payload
    assert b"secret" not in payload
    with pytest.raises(Fatal, match="key of its run"):
        from_bytes(payload, bytes(32))


def test_something_else_is_no_segment() -> None:
    with pytest.raises(Fatal, match="something else"):
        from_bytes(b"XXXX" + bytes(64), KEY)


def test_there_is_always_a_range() -> None:
    """One for so many rows, or for so many bytes where rows are wide."""
    for rows, expected in ((0, 1), (1, 1), (10, 1), (11, 2)):
        assert ranges([from_bytes(build(frame_of(list(range(rows))), KEY), KEY)], 10) == expected
    wide = frame_of(list(range(100))).with_columns(pl.lit("x" * 2**20).alias("text"))
    assert ranges([from_bytes(build(wide, KEY), KEY)] * 2, 1_000) == 200 * 2**20 // RANGE_BYTES + 1


def test_blocks_of_wide_rows_have_few_of_them() -> None:
    wide = from_bytes(build(frame_of(list(range(100))).with_columns(pl.lit("x" * 2**16).alias("text")), KEY), KEY)
    assert wide.block_rows < 5
    assert wide.blocks > 20
    back = wide.all()
    assert back is not None
    assert back.get_column("text").str.len_bytes().unique().to_list() == [2**16]
