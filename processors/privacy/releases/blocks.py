"""Who left and who came in all, of classes that hang together by overlaps: in every way to match they are as many."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from processors.privacy.releases.differences import CAME, LEFT, VALUE, Asked, Finding
from processors.privacy.releases.flows import NOBODY


def of_blocks(
    told: pl.DataFrame,
    pairs: pl.DataFrame,
    sizes: list[pl.DataFrame],
    cells: list[pl.DataFrame],
    labels: pl.DataFrame,
    asked: Asked,
) -> Iterator[Finding]:
    """`told` are the entries of one way to match, with their values; `sizes` and `cells` are of both versions."""
    blocks = _blocks(sizes, pairs)
    for kind, name, other, own, place in (
        (LEFT, "p", "q", cells[0], blocks[0]),
        (CAME, "q", "p", cells[1], blocks[1]),
    ):
        several = place.filter(pl.len().over("block") > 1)  # of a single class that is the same as of the block
        alone = told.filter(pl.col(other) == NOBODY, pl.col("x") > 0).join(several, on=name).group_by("block")
        gone = alone.agg(pl.col("x").sum(), *(pl.col(v).n_unique() for v in asked.values))
        held = own.join(several, on=name).join(labels, on="label").group_by("block")
        found = gone.join(
            held.agg(
                pl.col("~n").sum().alias("size"), *(pl.col(v).n_unique().alias(f"{v} held") for v in asked.values)
            ),
            on="block",
        ).sort("block")
        for row in found.iter_rows(named=True):
            if row["x"] < min(asked.k, row["size"]):
                yield kind, None, None, row["x"], row["x"]
            enough = zip(asked.values, asked.distinct, strict=True)
            if any(row[v] < min(least, row[f"{v} held"]) for v, least in enough):
                yield VALUE, None, None, row["x"], row["x"]


def _blocks(sizes: list[pl.DataFrame], pairs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The block of each class: those that hang together by overlaps."""
    ps, qs = sizes[0]["p"].to_list(), sizes[1]["q"].to_list()
    root = {node: node for node in (*((0, p) for p in ps), *((1, q) for q in qs))}

    def find(node: tuple[int, int]) -> tuple[int, int]:
        while root[node] != node:
            root[node] = node = root[root[node]]
        return node

    for p, q in pairs.rows():
        root[find((0, p))] = find((1, q))
    numbers = {node: number for number, node in enumerate(root)}
    each = [[numbers[find((side, one))] for one in own] for side, own in enumerate((ps, qs))]
    kind = {"block": pl.Int64}
    return (
        pl.DataFrame({"p": ps, "block": each[0]}, schema={"p": pl.Int64, **kind}),
        pl.DataFrame({"q": qs, "block": each[1]}, schema={"q": pl.Int64, **kind}),
    )
