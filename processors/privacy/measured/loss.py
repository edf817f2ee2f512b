"""What generalization and suppression cost: NCP of cells, discernibility and average class size of classes.

Always holds: the NCP of a cell is between 0, published as it was, and 1, not told at all; a record left out of the
release costs 1 in every column. Knows no method; whoever generalized a column says how wide its groups are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

Losses = Mapping[str, float]  # published name: its NCP


def group_losses(rows: Sequence[Sequence[str]]) -> dict[str, float]:
    """NCP of every name of a hierarchy in ARX's form: the leaves below it against all leaves, 0 for a single one.

    A name of several levels counts as its largest group.
    """
    leaves: dict[str, set[str]] = {}
    for row in rows:
        for name in row:
            leaves.setdefault(name, set()).add(row[0])
    return {name: 0.0 if len(below) == 1 else len(below) / len(rows) for name, below in leaves.items()}


def ncp(columns: Sequence[pl.Series], suppressed: int = 0) -> float:
    """The average over all cells of the quasi-identifiers, from the losses of each column's cells."""
    if not columns:
        raise ValueError("without quasi-identifiers nothing is lost or kept")
    rows = len(columns[0])
    if any(len(column) != rows or column.null_count() for column in columns):
        raise ValueError("every column has a loss for every row of the release")
    if not rows + suppressed:
        return 0.0
    lost = sum(float(column.sum()) for column in columns) / len(columns)
    return (lost + suppressed) / (rows + suppressed)


def discernibility(sizes: pl.Series, suppressed: int = 0) -> int:
    """The square of each class's size, and for each record left out the number of all records."""
    whole = int(sizes.sum()) + suppressed
    return int((sizes.cast(pl.Int128) * sizes.cast(pl.Int128)).sum()) + suppressed * whole


def average_class_size(sizes: pl.Series) -> float:
    """Rows of a class on average; divided by k it is C_avg. 0 for an empty release."""
    return float(sizes.sum()) / len(sizes) if len(sizes) else 0.0
