"""Where keys belong: ranges that cover every hash once, and hashes that follow the key of the run."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.columns import HASH
from schemas.placement import boundaries, fingerprint, hash_of, seed

KEY, OTHER = bytes(range(32)), bytes(32)
TOP = 2**64


def partition(value: int, partitions: int) -> int:
    return bisect_right(boundaries(partitions), value) - 1


@given(st.integers(1, 1024))
def test_partitions_cover_every_hash_exactly_once(partitions: int) -> None:
    starts = boundaries(partitions)
    assert len(starts) == partitions
    assert starts[0] == 0
    assert all(a < b for a, b in pairwise(starts))
    assert starts[-1] < TOP
    sizes = [end - start for start, end in pairwise([*starts, TOP])]
    assert sum(sizes) == TOP
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(0, TOP - 1), st.integers(1, 1024))
def test_a_hash_falls_where_its_share_of_the_whole_is(value: int, partitions: int) -> None:
    assert partition(value, partitions) == value * partitions >> 64


@given(st.integers(1, 1024), st.data())
def test_the_lowest_and_the_highest_hash_of_a_partition_are_its_own(partitions: int, data: st.DataObject) -> None:
    q = data.draw(st.integers(0, partitions - 1))
    starts = [*boundaries(partitions), TOP]
    assert partition(starts[q], partitions) == q
    assert partition(starts[q + 1] - 1, partitions) == q


@given(st.lists(st.tuples(st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.text(max_size=5)), max_size=20))
def test_equal_keys_have_equal_hashes(rows: list[tuple[int | None, str | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.Int64, "b": pl.String}, orient="row")
    for names in (["a"], ["b"], ["a", "b"]):
        hashes = frame.select(hash_of(names, KEY))
        assert hashes.schema == {HASH: pl.UInt64}
        assert hashes.null_count().item() == 0  # a null is a value like any other
        alone = [frame[i].select(hash_of(names, KEY)).item() for i in range(frame.height)]
        assert hashes.to_series().to_list() == alone  # whatever stands beside it
        keys = [tuple(row[name] for name in names) for row in frame.iter_rows(named=True)]
        assert len(set(keys)) == len(set(alone))


def test_another_run_places_otherwise() -> None:
    frame = pl.DataFrame({"a": range(100)})
    one, two = (set(frame.select(hash_of(["a"], key)).to_series()) for key in (KEY, OTHER))
    assert not one & two
    assert seed(KEY) != seed(OTHER)
    assert seed(KEY, "a") != seed(KEY, "b")
    assert 0 <= seed(KEY) < TOP


def test_a_composite_key_is_not_its_parts_run_together() -> None:
    frame = pl.DataFrame({"a": ["x", "xy"], "b": ["yz", "z"]})
    assert frame.select(hash_of(["a", "b"], KEY)).to_series().n_unique() == 2


def test_the_fingerprint_tells_another_hash_function(monkeypatch: pytest.MonkeyPatch) -> None:
    known = fingerprint()
    assert fingerprint() == known
    real = pl.Expr.hash
    monkeypatch.setattr(pl.Expr, "hash", lambda self, seed=0: real(self, seed + 1))
    assert fingerprint() != known
