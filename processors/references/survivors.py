"""Which records survive when every reference has to be met.

The answer is the largest set in which each record's references are met inside the set: chains fall one after the
other, cycles and self-references hold each other. A null refers to nothing and is always met. Works in time linear
in the records, on integer codes instead of values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_NULL = -2
_ABSENT = -1


@dataclass(frozen=True)
class Reference:
    """`table.column` has to be found in `target.target_column`."""

    table: str
    column: str
    target: str
    target_column: str


@dataclass
class _Coded:
    reference: Reference
    child: Ints  # a code for each row of the table
    parent: Ints  # a code for each row of the target
    alive: Ints  # how many surviving rows of the target carry a code
    order: Ints  # rows of the table sorted by code
    starts: Ints  # where each code begins in `order`


def surviving(tables: Mapping[str, pl.DataFrame], references: Sequence[Reference]) -> dict[str, Mask]:
    """For each table which of its rows survive, in their order."""
    alive, _ = _settle(tables, references)
    return alive


def survivors_and_reasons(
    tables: Mapping[str, pl.DataFrame], references: Sequence[Reference]
) -> tuple[dict[str, Mask], dict[str, dict[str, int]]]:
    """Also, for each table, how many rows fell by which column: the first, in declared order, that nothing meets."""
    alive, coded = _settle(tables, references)
    reasons: dict[str, dict[str, int]] = {name: {} for name in tables}
    open_: dict[str, Mask] = {name: ~mask for name, mask in alive.items()}
    for link in coded:
        name = link.reference.table
        unmet = _unmet(link) & open_[name]
        if unmet.any():
            rule = f"{link.reference.column}.references"
            reasons[name][rule] = reasons[name].get(rule, 0) + int(unmet.sum())
            open_[name] &= ~unmet
    return alive, reasons


def _unmet(link: _Coded) -> Mask:
    known = link.child >= 0
    unmet: Mask = link.child == _ABSENT
    unmet[known] |= link.alive[link.child[known]] == 0
    return unmet


def _encode(reference: Reference, child: pl.Series, parent: pl.Series) -> _Coded:
    values = parent.drop_nulls().unique(maintain_order=True)
    codes = pl.DataFrame({"v": values, "c": pl.Series(np.arange(len(values), dtype=np.int64))})

    def look_up(column: pl.Series) -> Ints:
        found = pl.DataFrame({"v": column}).join(codes, on="v", how="left", maintain_order="left").get_column("c")
        result: Ints = found.fill_null(_ABSENT).to_numpy().copy()
        result[column.is_null().to_numpy()] = _NULL
        return result

    children, parents = look_up(child), look_up(parent)
    order = np.argsort(children, kind="stable").astype(np.int64)
    starts = np.searchsorted(children[order], np.arange(len(values) + 1)).astype(np.int64)
    alive = np.bincount(parents[parents >= 0], minlength=len(values)).astype(np.int64)
    return _Coded(reference, children, parents, alive, order, starts)


def _settle(
    tables: Mapping[str, pl.DataFrame], references: Sequence[Reference]
) -> tuple[dict[str, Mask], list[_Coded]]:
    coded = [
        _encode(
            link,
            tables[link.table].get_column(link.column),
            tables[link.target].get_column(link.target_column),
        )
        for link in references
    ]
    alive: dict[str, Mask] = {name: np.ones(frame.height, dtype=np.bool_) for name, frame in tables.items()}
    fallen: list[tuple[str, Ints]] = []
    for link in coded:
        _fell(alive, fallen, link.reference.table, np.flatnonzero(link.child == _ABSENT))
    while fallen:
        name, rows = fallen.pop()
        for link in coded:
            if link.reference.target == name:
                _fell(alive, fallen, link.reference.table, _orphans(link, rows))
    return alive, coded


def _fell(alive: dict[str, Mask], fallen: list[tuple[str, Ints]], name: str, rows: Ints) -> None:
    new = rows[alive[name][rows]]
    if len(new):
        alive[name][new] = False
        fallen.append((name, new))


def _orphans(link: _Coded, rows: Ints) -> Ints:
    """The rows that refer to a value whose last bearer has just fallen."""
    codes = link.parent[rows]
    codes = codes[codes >= 0]
    np.subtract.at(link.alive, codes, 1)
    gone = np.unique(codes)
    gone = gone[link.alive[gone] == 0]
    if len(gone) == 0:
        return np.empty(0, dtype=np.int64)
    return np.concatenate([link.order[link.starts[code] : link.starts[code + 1]] for code in gone])
