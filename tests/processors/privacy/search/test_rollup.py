"""Classes of coarser nodes from those of finer ones: the same as from the rows."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from processors.privacy.domains.levels import from_rows
from processors.privacy.search import rollup
from processors.privacy.search.rollup import base, leaves_of, numbered, packed, paired, rolled

TREE = from_rows([[str(leaf), str(leaf // 2), str(leaf // 4), "*"] for leaf in range(8)])
CODES = arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 7))


@given(CODES, st.sampled_from([8, 2**20, 2**62]))
def test_ranks_of_dense_and_sparse_keys(keys: np.ndarray, bound: int) -> None:
    keys = keys * ((bound - 1) // 7)
    ranks, count = numbered(keys, bound)
    each, own = np.unique(keys, return_inverse=True)
    assert count == len(each)
    assert ranks.tolist() == own.tolist()


@given(st.integers(1, 60), st.data())
def test_keys_that_do_not_fit_one_integer(rows: int, data: st.DataObject) -> None:
    parts = [data.draw(arrays(np.int64, rows, elements=st.integers(0, 2**40 - 1))) for _ in range(3)]
    keys, bound = packed(parts, [2**40] * 3, rows)
    ranks, count = numbered(keys, bound)
    each, own = np.unique(np.stack(parts), axis=1, return_inverse=True)
    assert count == each.shape[1]
    assert ranks.tolist() == own.ravel().tolist()


@given(CODES, st.sampled_from([8, 2**40]))
def test_pairs_are_put_together(values: np.ndarray, size: int) -> None:
    own = values % 3
    pairs = paired(own, values, np.ones(len(own), dtype=np.int64), 3, size)
    each, counts = np.unique(np.stack([own, values]), axis=1, return_counts=True)
    assert [pairs.own.tolist(), pairs.values.tolist(), pairs.counts.tolist()] == [*each.tolist(), counts.tolist()]


@given(CODES, CODES, st.tuples(st.integers(0, 3), st.integers(0, 3)), st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_a_roll_up_is_what_the_rows_say(
    a: np.ndarray, b: np.ndarray, node: tuple[int, int], finer: tuple[int, int]
) -> None:
    rows = min(len(a), len(b))
    a, b = a[:rows], b[:rows]
    leaves = leaves_of([a, b], [8, 8], {"s": (a, 8)}, [b, a])
    start = rolled(base(leaves), (min(node[0], finer[0]), min(node[1], finer[1])), [TREE, TREE])
    groups = rolled(start, node, [TREE, TREE])
    frame = pl.DataFrame({"a": TREE.groups[node[0]][a], "b": TREE.groups[node[1]][b], "s": a})
    own = groups.own[leaves.row]
    told = pl.DataFrame({"own": own, "a": frame["a"], "b": frame["b"]}).unique()
    assert told.height == told["own"].n_unique() == frame.select("a", "b").unique().height
    assert groups.rows[own].tolist() == frame.select(pl.len().over("a", "b")).to_series().to_list()
    assert groups.rows.sum() == rows
    assert groups.known is not None
    assert groups.known.sum() == rows
    pairs = groups.pairs("s")
    told_pairs = list(zip(pairs.own.tolist(), pairs.values.tolist(), pairs.counts.tolist(), strict=True))
    assert told_pairs == pl.DataFrame({"o": own, "s": a}).group_by("o", "s").len().sort("o", "s").rows()


def test_what_is_looked_up_once_is_bounded() -> None:
    leaves = leaves_of([np.arange(8)], [8], {})
    start = base(leaves)
    for level in range(4):
        assert start.column(0, level, TREE) is start.column(0, level, TREE)
    assert rollup.HELD * 8 <= 1 << 25
