"""Records that several tables group, put together into atoms: no table tells apart the records of one.

Always holds: an atom's records are in the same group of each table, or of each in none. The columns that place an atom
among its neighbours are those that tables group by, one for all tables that see the same values in it, and whether a
table has the record at all. Atoms and groups stand in an order that depends on the values alone. Knows no reason to
withhold anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

RECORD = "_record"
SUBJECTS = "_subjects"


@dataclass(frozen=True)
class Grouped:
    """The records that one table has: `_record` names each, `by` are its groups.

    `subject` is the column that tells whose a record is, and null is one subject; None where each record is a subject.
    `finer`: columns that tell records apart within the groups, where those were merged.
    """

    records: pl.DataFrame
    by: tuple[str, ...]
    k: int
    subject: str | None = None
    finer: tuple[str, ...] = ()

    @property
    def subjects(self) -> pl.Expr:
        return (pl.len() if self.subject is None else pl.col(self.subject).n_unique()).cast(pl.Int64).alias(SUBJECTS)


def groups_of(table: Grouped) -> pl.DataFrame:
    """A row for each group, with its number of subjects; without columns one row of everything."""
    if not table.by:
        return table.records.select(table.subjects)
    return table.records.group_by(table.by).agg(table.subjects).sort(table.by, nulls_last=True)


@dataclass(frozen=True)
class Atoms:
    """`codes` has a row for each atom. Of each table: `cells`, the group of an atom, -1 where it has none; `subjects`
    of each group; `weights`, the subjects of each atom; its k; whether each record is its `own` subject."""

    codes: Ints
    cells: list[Ints]
    subjects: list[Ints]
    weights: list[Ints]
    k: list[int]
    own: list[bool]
    levels: list[list[Ints]]  # of each table its columns: a number for the value that each group has
    whose: list[pl.DataFrame]  # of each table, where a subject is named: `atom` and `subject`, each pair once

    def find(self, codes: Ints) -> Ints:
        """The atoms of these codes, -1 for one that there is not."""
        return self._lookup.find(codes)

    @cached_property
    def _lookup(self) -> _Lookup:
        return _Lookup(self.codes)

    def along(self, atom: int, side: int) -> Ints:
        """The other atoms that differ from this one in one column alone."""
        order, starts, own = self._lines[side]
        line = order[starts[own[atom]] : starts[own[atom] + 1]]
        others: Ints = line[line != atom]
        return others

    @cached_property
    def _lines(self) -> list[tuple[Ints, Ints, Ints]]:
        """By column: the atoms line by line, where each line begins, and the line of each atom."""
        found = []
        for side in range(self.codes.shape[1]):
            others = np.delete(self.codes, side, axis=1)
            own = np.unique(others, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
            order = np.argsort(own, kind="stable")
            starts = np.searchsorted(own[order], np.arange(int(own.max(initial=-1)) + 2))
            found.append((order, starts, own))
        return found


def atoms_of(tables: Sequence[Grouped], groups: Sequence[pl.DataFrame]) -> Atoms:
    """`groups`: of each table as `groups_of` gives them."""
    every = pl.concat([table.records.select(RECORD) for table in tables]).unique().sort(RECORD)
    placed = [_placed(every, table, frame) for table, frame in zip(tables, groups, strict=True)]
    cells = [frame["~cell"].to_numpy().astype(np.int64) for frame in placed]
    known, first, own = _told_apart([*_sides(tables, placed, cells), *_presences(cells)], every.height)
    weights, whose = [], []
    for table, frame in zip(tables, placed, strict=True):
        there = frame.select(
            pl.Series("atom", own), subject=pl.lit(None) if table.subject is None else table.subject, cell="~cell"
        ).filter(pl.col("cell") >= 0)
        if table.subject is not None:
            there = there.unique(["atom", "subject"])
        weights.append(np.bincount(there["atom"].to_numpy(), minlength=len(known)).astype(np.int64))
        whose.append(there.select("atom", "subject").clear() if table.subject is None else there)
    return Atoms(
        codes=known,
        cells=[one[first] for one in cells],
        subjects=[frame[SUBJECTS].to_numpy() for frame in groups],
        weights=weights,
        k=[table.k for table in tables],
        own=[table.subject is None for table in tables],
        levels=[[_ranks(frame[column]) for column in table.by] for table, frame in zip(tables, groups, strict=True)],
        whose=whose,
    )


def _told_apart(sides: Sequence[Ints], height: int) -> tuple[Ints, Ints, Ints]:
    """The distinct codes ascending, the first record of each, and of each record which one it has."""
    names = [f"{at}" for at in range(max(1, len(sides)))]
    codes = pl.DataFrame(dict(zip(names, sides or [np.zeros(height, dtype=np.int64)], strict=True)))
    known = codes.with_row_index("first").group_by(names).agg(pl.col("first").min()).sort(names).with_row_index("own")
    own = codes.join(known, on=names, how="left", maintain_order="left")["own"]
    first = known["first"].to_numpy().astype(np.int64)
    return known.select(names).to_numpy().astype(np.int64), first, own.to_numpy().astype(np.int64)


def _placed(every: pl.DataFrame, table: Grouped, groups: pl.DataFrame) -> pl.DataFrame:
    """Every record in order: its group's number and what the table knows of it; -1 where it doesn't have it."""
    numbered = groups.select(*table.by).with_row_index("~cell") if table.by else None
    if numbered is None:
        own = table.records.with_columns(pl.lit(0, dtype=pl.Int64).alias("~cell"))
    else:
        own = table.records.join(numbered, on=list(table.by), how="left", nulls_equal=True)
    found = every.join(own, on=RECORD, how="left", maintain_order="left")
    return found.with_columns(pl.col("~cell").cast(pl.Int64).fill_null(-1))


def _sides(tables: Sequence[Grouped], placed: Sequence[pl.DataFrame], cells: Sequence[Ints]) -> list[Ints]:
    """A column for all tables that see the same values in it, as numbers; 0 where no table has the record."""
    found: list[tuple[pl.Series, Marks]] = []
    for at in sorted(range(len(tables)), key=lambda at: -tables[at].records.height):  # who sees most speaks first
        table, frame, own = tables[at], placed[at], cells[at]
        for name in dict.fromkeys((*table.by, *table.finer)):
            values, there = frame[name].alias("v"), own >= 0
            for i, (known, seen) in enumerate(found):
                both = there & seen
                if values.dtype == known.dtype and both.any() and _equal(values, known, both):
                    found[i] = (known.zip_with(pl.Series(seen), values), seen | there)
                    break
            else:
                found.append((values, there))
    return [np.where(seen, _ranks(values) + 1, 0) for values, seen in found]


def _equal(one: pl.Series, other: pl.Series, where: Marks) -> bool:
    return bool(one.filter(where).eq_missing(other.filter(where)).all())


def _presences(cells: Sequence[Ints]) -> list[Ints]:
    """Whether a table has the record, for tables that don't have all or the same ones."""
    masks = {(own >= 0).tobytes(): (own >= 0).astype(np.int64) for own in cells}
    return [mask for mask in masks.values() if not mask.all()]


def _ranks(values: pl.Series) -> Ints:
    """Equal values get equal numbers, ascending, null the last."""
    known = values.unique().sort(nulls_last=True).alias("v").to_frame().with_row_index("n")
    own = values.alias("v").to_frame().join(known, on="v", how="left", nulls_equal=True, maintain_order="left")
    return own["n"].to_numpy().astype(np.int64)


class _Lookup:
    """Where codes stand among those of the atoms; column after column, so that no number grows too large."""

    def __init__(self, codes: Ints) -> None:
        self._steps: list[tuple[Ints, int]] = []
        number = np.zeros(len(codes), dtype=np.int64)
        for column in codes.T:
            width = int(column.max(initial=0)) + 1
            known, number = np.unique(number * width + column, return_inverse=True)
            self._steps.append((known, width))
        self._place = np.full(len(codes), -1, dtype=np.int64)
        self._place[number] = np.arange(len(codes))

    def find(self, codes: Ints) -> Ints:
        number, there = np.zeros(len(codes), dtype=np.int64), np.ones(len(codes), dtype=np.bool_)
        for (known, width), column in zip(self._steps, codes.T, strict=True):
            wanted = number * width + column
            number = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
            there &= (known[number] == wanted) & (column >= 0) & (column < width)
        return np.where(there, self._place[number], -1)
