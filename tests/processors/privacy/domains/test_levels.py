"""Levels of a hierarchy: groups, names, what each loses, and what is refused."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from processors.privacy.domains.levels import Levels, from_csv, levels_of
from processors.wrong_config import MisfitError


def shown(levels: Levels, value: Any) -> list[str | None]:
    leaf = levels.encode(pl.Series([value], dtype=levels.values.dtype))
    return [levels.named(leaf, level)[0] for level in range(levels.height + 1)]


def test_a_hierarchy_in_arx_form() -> None:
    levels = from_csv("1;low;*\n2;low;*\n3;high;*\n")
    assert shown(levels, "2") == ["2", "low", "*"]
    assert [share.tolist() for share in levels.shares] == [[0, 0, 0], [2 / 3, 0], [1]]
    assert [levels.leaf_shares(level).tolist() for level in range(3)] == [[0, 0, 0], [0.5, 0], [1]]
    assert levels.encode(pl.Series([3, 1])).tolist() == [2, 0]
    with pytest.raises(MisfitError, match="lacks '4', '5', '6' and 1 more; give every value"):
        levels.encode(pl.Series(["4", "5", "1", "6", "7"]))
    with pytest.raises(MisfitError, match="lacks null"):
        levels.encode(pl.Series(["1", None]))
    with pytest.raises(MisfitError, match="has a hole"):
        from_csv("1;low;*\n2;;*\n")
    with pytest.raises(MisfitError, match="level 1 in two groups of level 2"):
        levels_of(pl.Series(["1", "2"]), [pl.Series(["a", "a"]), pl.Series(["b", "c"])], "by hand")


def test_null_is_a_value_until_all_are_one_group() -> None:
    levels = from_csv("1;low;*\n2;low;*\n").with_null()
    assert shown(levels, None) == [None, None, "*"]
    assert levels.shares[1].tolist() == [1, 0]
    assert levels.leaf_shares(2).tolist() == [1]
    assert levels.with_null() is levels
    assert shown(from_csv("1;low\n2;high\n").with_null(), None) == [None, None]
