"""The generated census: the same on every machine, in the shape of the public table it stands for."""

from __future__ import annotations

import hashlib

import polars as pl

from benchmarks.census import COLUMNS, QUASI_IDENTIFIERS, ROWS, census, hierarchies
from processors.anonymize.hierarchy import check_tree

VALUES = {"sex": 2, "age": 72, "race": 5, "marital-status": 7, "education": 16, "native-country": 41, "workclass": 7}


def test_same_rows_for_ever() -> None:
    text = pl.DataFrame(census()).write_csv()
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "4d35532c002b30ccf4516a0ae7cf6fdd21d179f13d854056e35ba739497d17dd"
    )


def test_shape() -> None:
    frame = pl.DataFrame(census())
    assert frame.shape == (ROWS, len(COLUMNS))
    assert {name: frame[name].n_unique() for name in QUASI_IDENTIFIERS} == VALUES
    assert frame["occupation"].n_unique() == 14
    assert frame["salary-class"].n_unique() == 2


def test_a_part_is_the_beginning_of_the_whole() -> None:
    assert pl.DataFrame(census(100)).equals(pl.DataFrame(census(1_000)).head(100))
    assert not pl.DataFrame(census(100, seed=2)).equals(pl.DataFrame(census(100)))


def test_every_value_has_its_groups() -> None:
    frame = pl.DataFrame(census())
    for name, rows in hierarchies().items():
        check_tree(rows)
        assert set(frame[name].cast(pl.String).unique()) <= {row[0] for row in rows}, name
        assert {row[-1] for row in rows} == {"*"}
