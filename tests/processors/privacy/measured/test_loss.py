"""NCP, discernibility and class size, against the definitions by hand."""

from __future__ import annotations

from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.census import hierarchies
from processors.privacy.measured.loss import (
    average_class_size,
    discernibility,
    group_losses,
    ncp,
)
from tests.processors.privacy import slow


@pytest.mark.parametrize("column", sorted(hierarchies()))
def test_names_lose_what_they_hide(column: str) -> None:
    rows = hierarchies()[column]
    losses = group_losses(rows)
    for name in {cell for row in rows for cell in row}:
        assert losses[name] == pytest.approx(float(slow.leaves_below(rows, name)))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=20), st.integers(0, 5))
def test_ncp_is_the_average_with_what_was_left_out(cells: list[tuple[float, float]], suppressed: int) -> None:
    columns = [pl.Series([cell[i] for cell in cells], dtype=pl.Float64) for i in range(2)]
    all_cells = [Fraction(value) for cell in cells for value in cell] + [Fraction(1)] * (2 * suppressed)
    expected = float(sum(all_cells) / len(all_cells)) if all_cells else 0.0
    assert ncp(columns, suppressed) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("columns", [[], [pl.Series([0.5]), pl.Series([0.5, 0.5])], [pl.Series([None, 0.5])]])
def test_ncp_needs_a_loss_for_every_cell(columns: list[pl.Series]) -> None:
    with pytest.raises(ValueError, match=r"without|every"):
        ncp(columns)


def test_discernibility_of_huge_classes_does_not_overflow() -> None:
    assert discernibility(pl.Series([4 * 10**9, 2]), suppressed=1) == 16 * 10**18 + 4 + 4 * 10**9 + 3
    assert average_class_size(pl.Series([1, 3])) == 2.0
