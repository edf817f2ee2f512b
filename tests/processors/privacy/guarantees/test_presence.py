"""The share of a population that a release holds, class by class."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.privacy.guarantees.presence import presence
from tests.processors.privacy import slow
from tests.processors.privacy.tables import QUASI_IDENTIFIERS, Rows, frame_of, tables


@given(tables(least=1), st.lists(st.sampled_from(QUASI_IDENTIFIERS), unique=True), st.randoms())
def test_as_by_hand(population: Rows, names: list[str], random: Any) -> None:
    release = random.sample(population, random.randint(0, len(population)))
    told = presence(frame_of(release), frame_of(population), names)
    assert told == pytest.approx(tuple(float(share) for share in slow.presence(release, population, names)))


@pytest.mark.parametrize("names", [["a"], []])
def test_a_population_that_lacks_someone_is_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="lacks records of the release in 1 of 1 classes"):
        presence(pl.DataFrame({"a": ["x", "x"]}), pl.DataFrame({"a": ["x"]}), names)


def test_a_population_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        presence(pl.DataFrame({"a": ["x"]}), pl.DataFrame({"a": []}, schema={"a": pl.String}), ["a"])
