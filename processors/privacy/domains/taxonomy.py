"""Categories as leaves of a hierarchy, in the order of the tree, or side by side where there is no hierarchy.

Always holds: the leaves below a group have codes in a row, so the narrowest group that has the first and the last value
of an interval has all between. What is no leaf has a code of its own after them, whose group is all there is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from processors.anonymize.hierarchy import check_tree
from processors.anonymize.text import text_of
from processors.privacy.domains.naming import ANY, encoded, named
from processors.privacy.domains.points import Codes, Ints, Marks
from schemas.columns import ColumnType

Floats = NDArray[np.float64]
NAMED: Final = 32  # so many values are named at most
TABLE: Final = 512  # so many codes at most have a table of all pairs of them


def _coded(value: pl.Expr, leaves: list[str], kind: ColumnType) -> pl.Expr:
    """1 and up for the leaves, one more for what is none, 0 for null."""
    beyond = len(leaves) + 1
    dtype = pl.UInt8 if beyond < 2**8 else pl.UInt16 if beyond < 2**16 else pl.UInt32
    known = text_of(value, kind).cast(pl.Enum(leaves), strict=False).to_physical().cast(dtype) + pl.lit(1, dtype=dtype)
    null, other = (pl.lit(code, dtype=dtype) for code in (0, beyond))
    return pl.when(value.is_null()).then(null).otherwise(known.fill_null(other))


@dataclass(frozen=True)
class Taxonomy:
    """`groups[level][i]` is the number of leaf i's group on that level; level 0 are the leaves, the last the root."""

    kind: ColumnType
    leaves: list[str]
    labels: list[list[str]]
    groups: NDArray[np.int32]
    below: list[NDArray[np.int32]]  # of each level, how many leaves a group has
    levels: NDArray[np.uint8] | None = None  # of each two codes, the level of their group, if these are not too many
    tree: bool = True

    @staticmethod
    def of(rows: list[list[str]], kind: ColumnType) -> Taxonomy:
        """From rows of a hierarchy in ARX's form; what has several roots is put under one."""
        check_tree(rows)
        if len({row[-1] for row in rows}) > 1:
            rows = [[*row, ANY] for row in rows]
        levels = len(rows[0])
        numbers: list[dict[str, int]] = [{} for _ in range(levels)]
        for row in rows:
            for level in range(levels):
                numbers[level].setdefault(row[level], len(numbers[level]))
        rows = sorted(rows, key=lambda row: [numbers[level][row[level]] for level in reversed(range(levels))])
        groups = np.array([[numbers[level][row[level]] for row in rows] for level in range(levels)], dtype=np.int32)
        groups[0] = np.arange(len(rows))
        below = [np.bincount(level).astype(np.int32) for level in groups]
        leaves = [row[0] for row in rows]
        found = Taxonomy(kind, leaves, [leaves, *map(list, numbers[1:])], groups, below)
        if found.size > TABLE:
            return found
        codes = np.arange(found.size)
        of_pairs = found.level(np.repeat(codes, found.size), np.tile(codes, found.size))
        return replace(found, levels=of_pairs.astype(np.uint8).reshape(found.size, found.size))

    @property
    def size(self) -> int:
        return len(self.leaves) + 2

    def code(self, value: pl.Expr) -> pl.Expr:
        return _coded(value, self.leaves, self.kind)

    def encode(self, values: pl.Series) -> Codes:
        return encoded(self.code, values)

    def width(self, low: Ints, high: Ints) -> Floats:
        level, first = self.level(low, high), np.clip(low - 1, 0, len(self.leaves) - 1)
        share = np.zeros(len(level))
        for number, below in enumerate(self.below):
            at = np.flatnonzero(level == number)
            share[at] = below[self.groups[number][first[at]]] / len(self.leaves)
        return np.where(level == 0, 0.0, share)

    def depth(self, below: Ints, above: Ints) -> Ints:
        return len(self.groups) - 1 - self.level(below, above)

    def names(self, low: Ints, high: Ints, nulls: Marks) -> pl.Series:
        return named(low, high, nulls, self._name)

    def loss(self, low: Ints, high: Ints) -> Floats:
        return np.where(high == 0, 0.0, self.width(low, high))

    def level(self, low: Ints, high: Ints) -> Ints:
        """The level of the narrowest group with both; the root where one is no leaf."""
        if self.levels is not None:
            return self.levels[low, high].astype(np.int64)
        last = len(self.leaves) - 1
        a, b = np.clip(low - 1, 0, last), np.clip(high - 1, 0, last)
        level = np.full(len(a), len(self.groups) - 1, dtype=np.int64)
        for number in reversed(range(len(self.groups))):
            level[self.groups[number][a] == self.groups[number][b]] = number
        level[(np.minimum(low, high) < 1) | (np.maximum(low, high) > last + 1)] = len(self.groups) - 1
        return level

    def _name(self, low: int, high: int) -> str:
        level = int(self.level(np.array([low]), np.array([high]))[0])
        return self.labels[level][int(self.groups[level, min(max(low, 1), len(self.leaves)) - 1])]


@dataclass(frozen=True)
class Flat:
    """Values in their own order, each as far from the next."""

    kind: ColumnType
    leaves: list[str]
    tree: bool = False

    @property
    def size(self) -> int:
        return len(self.leaves) + 2

    def code(self, value: pl.Expr) -> pl.Expr:
        return _coded(value, self.leaves, self.kind)

    def encode(self, values: pl.Series) -> Codes:
        return encoded(self.code, values)

    def width(self, low: Ints, high: Ints) -> Floats:
        return np.minimum((high - low) / max(1, len(self.leaves) - 1), 1.0)

    def depth(self, below: Ints, above: Ints) -> Ints:
        return np.zeros(len(below), dtype=np.int64)

    def names(self, low: Ints, high: Ints, nulls: Marks) -> pl.Series:
        return named(low, high, nulls, self._name)

    def loss(self, low: Ints, high: Ints) -> Floats:
        members = high - low + 1
        all_of_them = (low == 0) | (high > len(self.leaves)) | (members > NAMED)
        lost = np.where(all_of_them, 1.0, members / max(1, len(self.leaves)))
        return np.where((high == 0) | ((low == high) & (high <= len(self.leaves))), 0.0, lost)

    def _name(self, low: int, high: int) -> str:
        if (
            high > len(self.leaves)
            or low < 1
            or high - low >= NAMED
            or (high > low and high - low + 1 == len(self.leaves))
        ):
            return ANY
        return "|".join(self.leaves[low - 1 : high])
