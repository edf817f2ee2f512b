"""Small groups in aggregates: merged upward, or withheld together with what they could be computed from.

`merge_upward` looks at the subjects of each group and coarsens groups along declared levels. A group is parted into
its members only if each of them has k subjects, so that what is published is a partition, and the difference of a
group and the published parts of it is never small.

`withhold` looks at published totals: a table and its margins (totals by fewer columns). A cell of fewer than k
subjects is withheld, and so are further cells until it can't be computed from the others. Always holds for a cell
withheld because it is small: the published totals are also those of a table in which this cell has k records or more.
The reason is a signed hypercube of withheld cells: to add to one corner and its like and take from their neighbours
changes no published total. Subjects may be in several cells, so a corner taken from has k subjects of its own, which
every sum that tells of the small cell then holds too; where each subject is in one cell (`disjoint`), those corners
need only fill the small cell up to k.

The outcome depends on the cells alone, not on their order. To be published is only that a cell is withheld, never
why: a cell known to be small is half known. Counts of reasons are for the certificate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from processors.wrong_config import MisfitError

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

K = 5
SMALL = "small"  # fewer than k subjects
COMPLEMENT = "complement"  # a small cell could be computed from it
LEVEL = "_level"
SUBJECTS = "_subjects"
MERGED = "_merged_"  # and the column's name


@dataclass(frozen=True)
class Totals:
    """One published table: its grouping columns and a row for each group that there is."""

    by: tuple[str, ...]
    frame: pl.DataFrame


@dataclass(frozen=True)
class Withheld:
    """For each table a reason for each row, null where it is published; for the certificate their numbers."""

    reasons: tuple[pl.Series, ...]

    def counts(self) -> dict[str, int]:
        told = pl.concat([*self.reasons, pl.Series("reason", [], dtype=pl.String)])
        return {reason: int((told == reason).sum()) for reason in (SMALL, COMPLEMENT)}


def merge_upward(
    pairs: pl.DataFrame, by: Sequence[str], subject: str, levels: Sequence[Mapping[str, pl.Expr]], k: int = K
) -> pl.DataFrame:
    """What each group of `pairs` (a row for a group and a subject) is published as.

    `levels`, each coarser than the one before, say what the grouping columns are there, in terms of the columns as
    they come; a column not named stays. A row for each group: its columns, for each the text that it is merged into,
    how many levels up that is, and the subjects of what it is merged into. Where even the last level has fewer
    than k subjects the texts and the level are null: the group is suppressed.
    """
    if not by:
        raise MisfitError("groups by nothing", "name a column", ("by",))
    cells = pairs.select(*by, pl.col(subject).alias("~subject")).unique()
    keys = [list(by)]
    for level, how in enumerate(levels, 1):
        keys.append([f"~{level}~{column}" for column in by])
        cells = cells.with_columns(
            how.get(column, pl.col(column)).cast(pl.String).alias(key) for column, key in zip(by, keys[-1], strict=True)
        )
    _check_nested(cells, keys)
    for level, key in enumerate(keys):
        cells = cells.with_columns(pl.col("~subject").n_unique().over(key).alias(f"~n{level}"))
    last = len(levels)
    cells = cells.with_columns(pl.lit(last, dtype=pl.Int64).alias(LEVEL))
    for level in range(last, 0, -1):
        parted = (pl.col(f"~n{level - 1}").min() >= k).over(keys[level])  # Enforces: no part is small
        down = pl.when((pl.col(LEVEL) == level) & parted).then(level - 1).otherwise(pl.col(LEVEL))
        cells = cells.with_columns(down.alias(LEVEL))
    texts = [
        _at_level([pl.col(key[i]).cast(pl.String) for key in keys]).alias(MERGED + column)
        for i, column in enumerate(by)
    ]
    cells = cells.with_columns(*texts, _at_level([pl.col(f"~n{level}") for level in range(last + 1)]).alias(SUBJECTS))
    kept = pl.col(SUBJECTS) >= k
    told = [*(MERGED + column for column in by), LEVEL]
    cells = cells.with_columns(pl.when(kept).then(pl.col(name)).alias(name) for name in told)
    return cells.select(*by, *told, pl.col(SUBJECTS).cast(pl.Int64)).unique().sort(by, nulls_last=True)


def _at_level(each: list[pl.Expr]) -> pl.Expr:
    return pl.coalesce(pl.when(pl.col(LEVEL) == level).then(value) for level, value in enumerate(each))


def _check_nested(cells: pl.DataFrame, keys: list[list[str]]) -> None:
    for level, (fine, coarse) in enumerate(pairwise(keys)):
        groups = cells.select([*fine, *coarse]).unique()
        if groups.height != groups.select(fine).unique().height:
            raise MisfitError(
                f"has a group of level {level} in two groups of level {level + 1}",
                "give levels of which each is coarser than the one before",
                ("levels", level),
            )


def withhold(table: Totals, margins: Sequence[Totals], subjects: str, k: int = K, disjoint: bool = False) -> Withheld:
    """Which cells of a table and of its margins must not be published; `subjects` counts those of a group."""
    cells = _Cells(table, margins, subjects)
    if disjoint:
        cells.check_sums()
    small = [weights < k for weights in cells.weights]
    out = [mask.copy() for mask in small]
    for target, weights in enumerate(cells.weights):
        rows = np.flatnonzero(small[target])
        for row in rows[np.argsort(weights[rows], kind="stable")].tolist():
            _protect(cells, out, target, row, k - int(weights[row]) if disjoint else k)
    reasons = []
    for hidden, primary, places in zip(out, small, cells.places, strict=True):
        told = pl.DataFrame({"hidden": hidden[places], "small": primary[places]}).select(
            reason=pl.when("small").then(pl.lit(SMALL)).when("hidden").then(pl.lit(COMPLEMENT))
        )
        reasons.append(told["reason"])
    return Withheld(tuple(reasons))


class _Cells:
    """The tables as arrays, in an order that depends on the values alone; table 0 is the one that has all columns."""

    def __init__(self, table: Totals, margins: Sequence[Totals], subjects: str) -> None:
        self.tables = (table, *margins)
        self.dims = [self._dims(one, i) for i, one in enumerate(self.tables)]
        self.weights: list[Ints] = []
        self.places: list[Ints] = []  # of each row of a table, where it stands here
        self.parents: list[Ints] = []  # of each cell of table 0, the cell of a table that holds it
        values = [table.frame[column].unique().sort(nulls_last=True) for column in table.by]
        for at, (one, dims) in enumerate(zip(self.tables, self.dims, strict=True)):
            codes = _codes(one, [values[dim] for dim in dims])
            order = np.lexsort(codes.T[::-1]) if dims else np.arange(one.frame.height)
            lookup = _Lookup(codes[order])
            if lookup.doubled or (not dims and one.frame.height > 1):
                raise MisfitError("has a group twice", "give a row for each group", ("tables", at))
            if at == 0:
                self.codes, self.lookup = codes[order], lookup
            weights: Ints = one.frame[subjects].cast(pl.Int64).to_numpy()
            self.weights.append(weights[order])
            self.places.append(np.argsort(order))
            self.parents.append(lookup.find(self.codes[:, dims]))
            filled = np.isin(np.arange(one.frame.height), self.parents[-1])
            if (self.parents[-1] < 0).any() or self.weights[-1][~filled].any():
                raise MisfitError("is no margin of the table", "give a row for each group", ("tables", at))

    def _dims(self, one: Totals, at: int) -> list[int]:
        by = self.tables[0].by
        if any(column not in by for column in one.by):
            raise MisfitError("groups by what the table does not", f"group by {', '.join(by)}", ("tables", at))
        return [by.index(column) for column in one.by]

    def check_sums(self) -> None:
        for at, (parent, weights) in enumerate(zip(self.parents, self.weights, strict=True)):
            if (np.bincount(parent, self.weights[0], len(weights)) != weights).any():
                raise MisfitError(
                    "has other numbers of subjects than its cells add up to",
                    "say that a subject may be in several cells",
                    ("tables", at),
                )


def _codes(one: Totals, values: Sequence[pl.Series]) -> Ints:
    codes = np.full((one.frame.height, len(one.by)), -1, dtype=np.int64)
    for i, (column, each) in enumerate(zip(one.by, values, strict=True)):
        known = pl.DataFrame({"v": each}).with_row_index("c")
        own = pl.DataFrame({"v": one.frame[column]})
        found = own.join(known, on="v", how="left", nulls_equal=True, maintain_order="left")
        codes[:, i] = found["c"].cast(pl.Int64).fill_null(-1).to_numpy()
    return codes


class _Lookup:
    """Where a group stands among sorted groups; column after column, so that no number grows too large."""

    def __init__(self, codes: Ints) -> None:
        self._steps: list[tuple[Ints, int]] = []
        number = np.zeros(len(codes), dtype=np.int64)
        for column in codes.T:
            width = int(column.max(initial=0)) + 1
            known, number = np.unique(number * width + column, return_inverse=True)
            self._steps.append((known, width))
        self.doubled = bool(self._steps) and len(self._steps[-1][0]) != len(codes)

    def find(self, codes: Ints) -> Ints:
        """-1 for a group that there is not."""
        number, there = np.zeros(len(codes), dtype=np.int64), np.ones(len(codes), dtype=np.bool_)
        for (known, width), column in zip(self._steps, codes.T, strict=True):
            if not len(known):
                return np.full(len(codes), -1, dtype=np.int64)
            wanted = number * width + column
            number = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
            there &= (known[number] == wanted) & (column >= 0) & (column < width)
        return np.where(there, number, -1)


def _protect(cells: _Cells, out: list[Mask], target: int, row: int, need: int) -> None:
    """Withholds the cheapest hypercube by which this cell may hold `need` records more."""
    best: tuple[int, Ints, list[int]] | None = None
    for member in np.flatnonzero(cells.parents[target] == row).tolist():
        for sides, corners in _cubes(cells, member, cells.dims[target], need):
            # margins by all of the cube's sides see its corners apart, so they would change: they go as well
            shown = [t for t, dims in enumerate(cells.dims) if t == 0 or sides <= set(dims)]
            cost = np.zeros(len(corners), dtype=np.int64)
            for t in shown:
                at = cells.parents[t][corners]
                cost += np.where(out[t][at], 0, cells.weights[t][at]).sum(axis=1)
            if len(cost) and (best is None or cost.min() < best[0]):
                best = (int(cost.min()), corners[cost.argmin()], shown)
    if best is not None:  # a total of nothing has no cells to go with it
        for t in best[2]:
            out[t][cells.parents[t][best[1]]] = True


def _cubes(cells: _Cells, member: int, dims: Sequence[int], need: int) -> Iterator[tuple[set[int], Ints]]:
    """For each set of columns the hypercubes of cells from this one, whose every other corner has `need` subjects.

    A row of corners for each; a corner is taken from where it differs in an odd number of columns.
    """
    own = cells.codes[member]
    differs = (cells.codes != own) @ (1 << np.arange(cells.codes.shape[1]))
    for size in range(len(dims) + 1):
        for sides in combinations(sorted(dims), size):
            opposite = np.flatnonzero(differs == sum(1 << side for side in sides))
            corners, fits = [], np.ones(len(opposite), dtype=np.bool_)
            for changed in (part for n in range(size + 1) for part in combinations(sides, n)):
                codes = np.tile(own, (len(opposite), 1))
                codes[:, changed] = cells.codes[opposite][:, changed]
                corner = cells.lookup.find(codes)
                fits &= corner >= 0
                if len(changed) % 2:
                    fits &= cells.weights[0][corner] >= need
                corners.append(corner)
            yield set(sides), np.stack(corners, axis=1)[fits]
