"""Taxonomies in ARX's format: one row for each leaf, columns from the leaf to the root, separated by `;`.

The file is read when the task is released; from then on its rows are part of the task.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import polars as pl

from processors.wrong_config import MisfitError, Read


def level_of(value: pl.Expr, rows: list[list[str]], level: int) -> pl.Expr:
    """The ancestor of the value, `level` columns up; null for a value that is no leaf."""
    check_tree(rows)
    if level >= len(rows[0]):
        raise MisfitError(f"has levels 1 to {len(rows[0]) - 1} only", "give one of them", ("level",))
    leaves = pl.Series([row[0] for row in rows], dtype=pl.String)
    names = pl.Series([row[level] for row in rows], dtype=pl.String)
    return value.replace_strict(leaves, names, default=None, return_dtype=pl.String)


def check_tree(rows: list[list[str]]) -> None:
    """Refuses rows that are no tree: holes, a leaf twice, a group with two parents."""
    if not rows or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise MisfitError("has rows of different lengths", "give every leaf a row with all levels", ("hierarchy",))
    if any(cell == "" for row in rows for cell in row[1:]):
        raise MisfitError("has a hole", "name the group of every leaf on every level", ("hierarchy",))
    if len({row[0] for row in rows}) != len(rows):
        raise MisfitError("has a leaf twice", "give every leaf one row", ("hierarchy",))
    for level in range(1, len(rows[0]) - 1):
        if len({row[level] for row in rows}) != len({(row[level], row[level + 1]) for row in rows}):
            raise MisfitError(
                f"has a group of level {level} in two groups of level {level + 1}", "give it one", ("hierarchy",)
            )


def embed_hierarchies(raw: Any, read: Read, option: str = "columns") -> Any:
    """The options of a method, each `hierarchy: FILE` of a column in one of them turned into `rows`."""
    columns = raw.get(option) if isinstance(raw, Mapping) else None
    if not isinstance(columns, Mapping):
        return raw
    return {**raw, option: {name: _embedded(option, name, grid, read) for name, grid in columns.items()}}


def _embedded(option: str, name: str, grid: Any, read: Read) -> Any:
    if not isinstance(grid, Mapping) or not isinstance(grid.get("hierarchy"), str):
        return grid
    rows = [row for row in csv.reader(io.StringIO(read(grid["hierarchy"])), delimiter=";") if row]
    try:
        check_tree(rows)
    except MisfitError as misfit:
        raise MisfitError(misfit.wrong, misfit.right, (option, name, *misfit.at)) from None
    return {**{key: value for key, value in grid.items() if key != "hierarchy"}, "rows": rows}
