"""Levels of generalization of one column: for every leaf its group on each level, and every group's name.

Always holds: level 0 are the values as they are; a group lies in one group of the next level; groups of a level are
numbered from 0 without holes. A null is a leaf of its own and joins the others where all of them are one group.
Knows no table, no class and no guarantee.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from processors.anonymize.hierarchy import check_tree
from processors.wrong_config import MisfitError

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
ANY: Final = "*"
SHOWN: Final = 3  # so many values are named in a message


@dataclass(frozen=True)
class Levels:
    """`groups[level][leaf]` is the number of a group, `names[level]` and `shares[level]` have its name and its NCP.

    `counted` leaves at the front are values; a null comes after them. `chosen` says in words how values are grouped.
    """

    values: pl.Series
    groups: tuple[Codes, ...]
    names: tuple[pl.Series, ...]
    shares: tuple[Floats, ...]
    counted: int
    chosen: str

    @property
    def height(self) -> int:
        return len(self.groups) - 1

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many groups each level has."""
        return tuple(map(len, self.names))

    def encode(self, values: pl.Series) -> Codes:
        """The leaf of each value; what is no leaf is a hole, and refused."""
        if values.dtype != self.values.dtype:
            values = values.cast(self.values.dtype)
        places = self.values.alias("v").to_frame().with_row_index("leaf")
        own = values.alias("v").to_frame().join(places, on="v", how="left", nulls_equal=True, maintain_order="left")
        if own["leaf"].null_count():
            self._refuse(own.filter(pl.col("leaf").is_null())["v"].unique().sort())
        return own["leaf"].cast(pl.Int64).to_numpy()

    def named(self, leaves: Codes, level: int) -> pl.Series:
        """What is published of the leaves on this level, as text."""
        return self.names[level].gather(self.groups[level][leaves])

    def leaf_shares(self, level: int) -> Floats:
        """Of each group its leaves but one against all leaves but one: the loss of a cell as ARX has it."""
        below = np.bincount(self.groups[level][: self.counted], minlength=self.sizes[level])
        return np.maximum(below - 1, 0) / max(1, self.counted - 1)

    def with_null(self) -> Levels:
        """With a leaf for null."""
        if self.values.null_count():
            return self
        groups, names, shares = [], [], []
        for level, (own, name, share) in enumerate(zip(self.groups, self.names, self.shares, strict=True)):
            joins = level == self.height > 0 and len(name) == 1
            groups.append(np.append(own, 0 if joins else len(name)))
            names.append(name if joins else pl.concat([name, pl.Series([None], dtype=pl.String)]))
            shares.append(share if joins else np.append(share, 0.0))
        values = pl.concat([self.values, pl.Series(self.values.name, [None], dtype=self.values.dtype)])
        return replace(self, values=values, groups=tuple(groups), names=tuple(names), shares=tuple(shares))

    def _refuse(self, lacking: pl.Series) -> None:
        shown = ", ".join("null" if one is None else repr(one) for one in lacking.head(SHOWN).to_list())
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        raise MisfitError(f"lacks {shown}{more}", "give every value of the column a leaf", ("hierarchy",))


def levels_of(
    values: pl.Series, names: Sequence[pl.Series], chosen: str, shares: Sequence[Floats] | None = None
) -> Levels:
    """From distinct values, none of them null, and the name of each one's group on level 1 and up.

    `shares`: NCP of each value's group on these levels; without it, the leaves below a group against all leaves.
    """
    count = len(values)
    groups, named = [np.arange(count)], [values.cast(pl.String).rename("")]
    for level, name in enumerate(names, 1):
        each, codes = _numbered(name)
        if len(np.unique(groups[-1] * max(1, len(each)) + codes)) != len(named[-1]):
            raise MisfitError(f"has a group of level {level - 1} in two groups of level {level}", "give it one")
        groups.append(codes)
        named.append(each)
    lost = [np.zeros(count)]
    for level, own in enumerate(groups[1:], 1):
        if shares is None:
            below = np.bincount(own, minlength=len(named[level]))
            lost.append(np.where(below == 1, 0.0, below / max(1, count)))
        else:
            share = np.zeros(len(named[level]))
            share[own] = shares[level - 1]
            lost.append(share)
    return Levels(values, tuple(groups), tuple(named), tuple(lost), count, chosen)


def from_rows(rows: list[list[str]]) -> Levels:
    """From a hierarchy in ARX's form: a row for each leaf, from the leaf to the root; leaves are texts."""
    check_tree(rows)
    columns = [pl.Series(list(column), dtype=pl.String) for column in zip(*rows, strict=True)]
    return levels_of(columns[0], columns[1:], f"a hierarchy of {len(rows)} leaves in {len(rows[0])} levels")


def from_csv(text: str) -> Levels:
    """From the text of a hierarchy in ARX's form, cells separated by `;`."""
    return from_rows([row for row in csv.reader(io.StringIO(text), delimiter=";") if row])


def distinct(column: pl.Series) -> pl.Series:
    """The values that levels are made of: each once, ascending, without null."""
    return column.drop_nulls().unique().sort()


def whole(count: int) -> pl.Series:
    """The names of the level on which all values are one group."""
    return pl.repeat(ANY, count, dtype=pl.String, eager=True)


def _numbered(name: pl.Series) -> tuple[pl.Series, Codes]:
    """Each name once, by first appearance, and the number of each cell's."""
    each = name.alias("n").to_frame().unique(maintain_order=True).with_row_index("code")
    own = name.alias("n").to_frame().join(each, on="n", how="left", nulls_equal=True, maintain_order="left")
    return each["n"].cast(pl.String).rename(""), own["code"].cast(pl.Int64).to_numpy()
