"""The fixpoint of references against an oracle that drops one dangling row at a time."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from processors.references.survivors import Reference, survivors_and_reasons

keys = st.one_of(st.none(), st.integers(0, 5))
table = st.lists(st.tuples(keys, keys, keys), max_size=12)
columns = ("k", "x", "y")
links = st.lists(
    st.builds(
        Reference,
        table=st.sampled_from(["a", "b", "c"]),
        column=st.sampled_from(["x", "y"]),
        target=st.sampled_from(["a", "b", "c"]),
        target_column=st.sampled_from(["k", "x"]),
    ),
    max_size=4,
    unique_by=lambda link: (link.table, link.column),
)


def oracle(tables: dict[str, list[dict[str, Any]]], references: list[Reference]) -> dict[str, list[bool]]:
    alive = {name: [True] * len(rows) for name, rows in tables.items()}
    moved = True
    while moved:
        moved = False
        for link in references:
            found = {
                row[link.target_column]
                for row, here in zip(tables[link.target], alive[link.target], strict=True)
                if here and row[link.target_column] is not None
            }
            for i, row in enumerate(tables[link.table]):
                value = row[link.column]
                if alive[link.table][i] and value is not None and value not in found:
                    alive[link.table][i] = False
                    moved = True
    return alive


@given(table, table, table, links)
def test_survivors_equal_the_oracle(a: list[Any], b: list[Any], c: list[Any], references: list[Reference]) -> None:
    rows = {
        name: [dict(zip(columns, row, strict=True)) for row in data] for name, data in (("a", a), ("b", b), ("c", c))
    }
    frames = {name: pl.DataFrame(data, schema=dict.fromkeys(columns, pl.Int64)) for name, data in rows.items()}
    alive, reasons = survivors_and_reasons(frames, references)
    assert {name: mask.tolist() for name, mask in alive.items()} == oracle(rows, references)
    for name, mask in alive.items():
        assert sum(reasons[name].values()) == int((~mask).sum())


def test_a_chain_falls_to_its_end_and_a_cycle_holds_itself() -> None:
    chain = pl.DataFrame({"k": [1, 2, 3, 4, 10, 11], "x": [99, 1, 2, 3, 11, 10]})
    alive, reasons = survivors_and_reasons({"t": chain}, [Reference("t", "x", "t", "k")])
    assert alive["t"].tolist() == [False, False, False, False, True, True]
    assert reasons["t"] == {"x.references": 4}


def test_a_deep_chain_takes_linear_time() -> None:
    n = 200_000
    chain = pl.DataFrame({"k": range(n), "x": [-1, *range(n - 1)]})
    alive, _ = survivors_and_reasons({"t": chain}, [Reference("t", "x", "t", "k")])
    assert not alive["t"].any()


def test_text_keys() -> None:
    child = pl.DataFrame({"sku": ["a", "b", None, ""]})
    parent = pl.DataFrame({"sku": ["a", None]})
    alive, _ = survivors_and_reasons({"c": child, "p": parent}, [Reference("c", "sku", "p", "sku")])
    assert alive["c"].tolist() == [True, False, True, False]
