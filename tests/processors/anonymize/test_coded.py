from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.anonymize import coded
from processors.anonymize.coded import Coded
from processors.privacy.domains.dimension import survey
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Column

VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(["", "a", "b", "a long text that no view holds inside", "ä", None]),
    "int64": st.one_of(st.none(), st.integers(-3, 3)),
    "float64": st.sampled_from([None, 0.0, 1.5, float("nan"), float("inf")]),
    "bool": st.sampled_from([None, True, False]),
    "date": st.sampled_from([None, dt.date(2020, 1, 1), dt.date(1999, 12, 31)]),
}


@pytest.mark.parametrize("few", [2**16, 2])
@pytest.mark.parametrize("kind", VALUES)
def test_in_parts_it_is_what_it_is_as_a_whole(kind: ColumnType, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded, "FEW", few)

    @given(st.lists(st.lists(VALUES[kind], max_size=8), max_size=5))
    def holds(parts: list[list[Any]]) -> None:
        column = Coded(Column(type=kind))
        series = [pl.Series(part, dtype=polars_type(kind)) for part in parts]
        for part in series:
            column.add(part)
        whole = pl.concat([pl.Series([], dtype=polars_type(kind)), *series])
        assert sorted(map(repr, column.values())) == sorted(map(repr, whole.unique()))
        here, there = column.survey(), survey(whole, kind)
        assert (here.least, here.most) == (there.least, there.most)
        if kind in ("string", "bool"):
            assert sorted(_there(here.values)) == sorted(_there(there.values))

        def code(values: pl.Series) -> np.ndarray[Any, Any]:
            return np.array([hash(repr(value)) % 251 for value in values], dtype=np.uint8)

        assert column.taken(code).tolist() == code(whole).tolist()

    holds()


def test_values_are_told_apart_though_nothing_else_holds_them() -> None:
    column = Coded(Column(type="string"))
    for part in (["a", "b"], ["b", "c"], ["c", "a", None]):
        column.add(pl.Series(part))
    assert column.values().to_list() == [None, "a", "b", "c"]
    assert [one.dtype for one in column._codes] == [np.uint8] * 3


def _there(values: pl.Series | None) -> list[Any]:
    return [] if values is None else values.to_list()
