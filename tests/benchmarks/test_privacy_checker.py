"""The checker's benchmark at a tiny scale, without a stack: what it checks is the census that was asked for."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmarks.census import COLUMNS, census
from benchmarks.checking import CHECKED, SENSITIVE, part, written
from benchmarks.scenarios import privacy_checker
from benchmarks.session import Session
from processors.privacy.measured.measure import measure


def test_at_a_tiny_scale(tmp_path: Path) -> None:
    outcome = privacy_checker.measure(Session(None, tmp_path, 1, print), **privacy_checker.SCALES["tiny"])
    assert len(outcome.figures) == 10
    assert all(figure.value > 0 for figure in outcome.figures.values())
    told = outcome.details["2000_raw"][0]["reached"]
    raw = measure(pl.DataFrame(census(2_000)), CHECKED, [SENSITIVE])
    assert (told["rows"], told["classes"], told["k_rows"]) == (2_000, raw.classes, raw.k)
    assert outcome.details["2000_generalized"][0]["reached"]["classes"] < raw.classes


def test_raw_parts_are_the_census() -> None:
    texts = pl.DataFrame(census(200, seed=3)).with_columns(pl.col("age").cast(pl.String))
    assert part(200, 3, generalized=False).equals(texts)


def test_a_file_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    path = written(tmp_path, 10, generalized=True)
    stood = path.stat().st_mtime_ns
    assert written(tmp_path, 10, generalized=True).stat().st_mtime_ns == stood
    assert pl.read_parquet(path).columns == list(COLUMNS)
    assert len(list(tmp_path.iterdir())) == 1
