"""Which published names may stand for one value: against all values that a method published under them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.domains.dimension import Grain, dimension, encode, survey
from processors.privacy.releases.overlaps import equal, overlaps
from processors.privacy.releases.regions import Naming, meets
from schemas.columns import ColumnType
from schemas.task.model import Column

KINDS = dict.fromkeys("ab", pl.String)
TREE = [["Oslo", "north", "*"], ["Bergen", "north", "*"], ["Rome", "south", "*"], ["Bari", "south", "*"]]


def met(one: Sequence[str | None], other: Sequence[str | None], naming: Naming, later: Naming | None = None) -> Any:
    sides = (pl.Series(names, dtype=pl.String) for names in (one, other))
    return meets(naming, later or naming)(*sides).astype(int).tolist()


def test_intervals_meet_where_they_share_a_value() -> None:
    whole = Naming("int64")
    names = ["30..39", "39", "<30", ">=39", "*", "null|40..49", None]
    assert met(names, names, whole) == [
        [1, 1, 0, 1, 1, 0, 0],
        [1, 1, 0, 1, 1, 0, 0],
        [0, 0, 1, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 1, 1],
    ]
    assert met(["1.5..<2"], ["2..<3", "1..<1.6", "-1..<0"], Naming("float64")) == [[0, 1, 0]]


def test_moments_meet_across_units() -> None:
    names = ["1990s", "1999-Q4", "1999-12..2000-01", "2000", "2000-01-31", "2000-01-31T23", "<1999", "2000-13"]
    assert met(["1999-12-31", "2000-01-31"], [*names], Naming("timestamp")) == [
        [1, 1, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 1, 0, 0],
    ]


def test_groups_of_hierarchies_meet_by_what_is_below_them() -> None:
    other = [["Oslo", "capital", "*"], ["Rome", "capital", "*"], ["Bari", "port", "*"]]
    names = ["north", "Rome", "*", "nowhere", None]
    assert met(names, names, Naming("string", TREE)) == [
        [1, 0, 1, 0, 0], [0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1],
    ]  # fmt: skip
    later = met(["north", "south"], ["capital", "port"], Naming("string", TREE), Naming("string", other))
    assert later == [[1, 0], [1, 1]]


def test_sets_codes_and_networks() -> None:
    assert met(["a|b", "null|c"], ["b", "c|d", None], Naming()) == [[1, 0, 0], [0, 1, 1]]
    levels = Naming("string", levels=True)
    assert met(["10***", "102**"], ["101**", "10***", "10115", "10**"], levels) == [[1, 1, 1, 0], [0, 1, 0, 0]]
    assert met(["10***"], ["101**", "10***"], Naming()) == [[0, 1]]
    networks = ["192.0.2.0/25", "192.0.0.0/16", "192.0.2.200", "2001:db8::/32"]
    assert met(["192.0.2.0/24"], networks, levels) == [[1, 1, 1, 0]]


numbers = st.lists(st.one_of(st.none(), st.integers(-30, 30)), min_size=1, max_size=12)
days = st.dates(dt.date(1998, 1, 1), dt.date(2001, 12, 31))


@settings(max_examples=60)
@given(
    st.one_of(
        st.tuples(st.just("int64"), st.sampled_from([None, 1, 5]), numbers),
        st.tuples(st.just("date"), st.sampled_from([None, "day", "quarter"]), st.lists(days, min_size=1, max_size=12)),
        st.tuples(st.just("string"), st.none(), st.lists(st.sampled_from([None, *"abcd"]), min_size=1, max_size=12)),
    ),
    st.data(),
)
def test_names_that_were_given_to_one_value_meet(drawn: tuple[ColumnType, Any, list[Any]], data: st.DataObject) -> None:
    """Any two intervals of codes that both hold a value; those that share none don't, where every value is there."""
    kind, grain, values = drawn
    column = Column(type=kind)
    own = pl.Series("v", values, dtype=column.kind.polars)
    options = {} if grain is None else {"unit" if kind == "date" else "step": grain}
    axis = dimension(column, Grain.model_validate(options), survey(own, kind))
    (codes,) = encode({"v": axis}, own.to_frame())
    bounds = st.tuples(*[st.sampled_from(codes[codes > 0].tolist() or [0])] * 2).map(sorted)
    picked = [data.draw(bounds) for _ in range(4)]
    nulls = np.array([data.draw(st.booleans()) for _ in picked])
    low, high = np.array(picked).T
    names = axis.names(low, high, nulls)
    found = meets(Naming(kind), Naming(kind))(names, names)
    for i, (a, b) in enumerate(picked):
        for j, (c, d) in enumerate(picked):
            share = (b > 0 and a <= d and c <= b and d > 0) or bool(nulls[i] and nulls[j]) or (b == 0 and d == 0)
            assert found[i, j] or not share
            if kind != "string" and not ((b == 0) ^ (d == 0)) and "*" not in (names[i] or "") + (names[j] or ""):
                assert found[i, j] == share


@pytest.mark.parametrize("height", [1, 8, 9, 40])
def test_pairs_of_classes_that_overlap_in_every_column(height: int) -> None:
    draw = Random(height)
    sides = [
        pl.DataFrame({c: [draw.choice(["x", "y", None]) for _ in range(n)] for c in "ab"}, schema=KINDS)
        for n in (7, height)
    ]
    found = overlaps(sides[0], sides[1], ["a", "b"], {}, 1_000)
    assert found is not None
    expected = [(i, j) for i, one in enumerate(sides[0].rows()) for j, two in enumerate(sides[1].rows()) if one == two]
    assert [*zip(*(side.tolist() for side in found), strict=True)] == expected
    assert overlaps(sides[0], sides[1], [], {}, 1_000) is not None
    assert overlaps(sides[0], sides[1], [], {}, 6) is None
    assert equal(pl.Series(["x", None]), pl.Series([None, "x"])).tolist() == [[False, True], [True, False]]
