"""A sieve never holds back what is there, and most of what is not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processors.segments.sieve import Hashes, Sieve

ANY = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 40), max_size=60)


def array(values: list[int]) -> Hashes:
    return np.array(values, dtype=np.uint64)


@given(ANY, ANY)
def test_what_is_there_passes_in_its_order_and_nothing_is_added(there: list[int], wanted: list[int]) -> None:
    passed = Sieve(array(there)).pass_on(array(wanted)).tolist()
    rest = iter(wanted)
    assert all(one in rest for one in passed)
    assert [one for one in passed if one in there] == [one for one in wanted if one in there]


def test_most_of_what_is_not_there_is_held_back() -> None:
    draw = np.random.default_rng(1)
    there, others = (draw.integers(0, 2**64, 50_000, dtype=np.uint64) for _ in range(2))
    sieve = Sieve(there)
    assert len(sieve.pass_on(others)) < 0.12 * len(others)
    assert len(sieve.pass_on(there)) == len(there)


def test_nothing_passes_where_nothing_is() -> None:
    assert len(Sieve(array([])).pass_on(array([1, 2, 2**64 - 1]))) == 0
