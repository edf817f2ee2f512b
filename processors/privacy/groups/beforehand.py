"""Whether a table can have the groups that are asked for: what it needs for them, and what the records seen lack.

Always holds: what is told can't be mended by what still happens to the records on their way to the groups: merging and
leaving out records lowers their number, and that of their subjects and values. Frequencies may shift either way, so
they are judged only of the very records that will be grouped (`exact`). That no record at all may be left is not taken
for a way out. Values are kept as hashes, and only as many as the answer needs. Knows no source and no task file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from processors.anonymize.text import text_of
from processors.privacy.groups.anatomy import Infeasible
from processors.privacy.groups.shortfall import Shortfall, cap, lacking
from processors.privacy.guarantees.enough import SLACK, meets
from processors.privacy.guarantees.requested import Diversity
from processors.wrong_config import Wrong
from schemas.columns import LINE, ColumnType

SHOWN: Final = 3  # places of values that a hierarchy lacks


@dataclass(frozen=True)
class Leaves:
    """The values that the hierarchy of a column knows, as text."""

    kind: ColumnType
    known: pl.Series

    def lacks(self, column: str) -> pl.Expr:
        text = text_of(pl.col(column), self.kind)
        return pl.col(column).is_not_null() & ~text.is_in(self.known.implode()).fill_null(False)


@dataclass(frozen=True)
class Needs:
    """What a method needs of a whole table, in the order of its options.

    `apart`: a column, and the l of which no value, and no subject, may have more than an l-th of the records.
    `limit`: the share of records that may be left out for it. `complete`: nothing else can be in the groups' way.
    """

    k: int = 1
    subject: str | None = None
    diversity: tuple[Diversity, ...] = ()
    apart: tuple[str, int] | None = None
    leaves: Mapping[str, Leaves] = field(default_factory=dict)
    limit: float = 0.0
    complete: bool = True


class Probe:
    """Takes in the records of a table, piece by piece, and says what they lack.

    `by_rows`: of columns that are computed on the way only the number of records is known.
    """

    def __init__(self, needs: Needs, frequencies: bool = True, by_rows: bool = False) -> None:
        self.rows = 0
        self.by_rows = by_rows
        self._needs = needs
        enough: dict[str, float] = {}
        if needs.subject is not None:
            enough[needs.subject] = needs.k
        for one in needs.diversity:
            least = math.inf if frequencies and one.kind != "distinct" else one.l * (1 - SLACK)
            enough[one.column] = max(enough.get(one.column, 0), least)
        if needs.apart is not None:
            for column in (needs.apart[0], *([needs.subject] if needs.subject else [])):
                enough[column] = math.inf if frequencies else needs.apart[1]
        self._tallies = {} if by_rows else {column: _Tally(least) for column, least in enough.items()}
        self._enough = max([needs.k, *(value for value in enough.values() if by_rows)])
        self._unknown = {} if by_rows else {column: _Unknown(leaves) for column, leaves in needs.leaves.items()}

    @property
    def settled(self) -> bool:
        """Whether no further record can matter."""
        return (
            not self._unknown and self.rows >= self._enough and all(tally.settled for tally in self._tallies.values())
        )

    def add(self, frame: pl.DataFrame, label: str) -> None:
        """`frame` has the columns that the method looks at, and `_line`; `label` says where the lines are counted."""
        self.rows += frame.height
        for column, tally in self._tallies.items():
            tally.add(frame.get_column(column))
        for column, unknown in self._unknown.items():
            unknown.add(frame, column, label)

    def lacking(self, exact: bool) -> Iterator[Wrong]:
        """What the records lack, all of them having come; paths are below the method's options."""
        if not self.rows:
            return
        k, subject = self._needs.k, self._needs.subject
        most = self.rows if subject is None else self._distinct(subject)
        if k > most:
            what = "records" if subject is None else "subjects"
            yield Wrong(("k",), f"is {k}, more than the {most} {what} there are", _at_most("k", most))
        for i, asked in enumerate(self._needs.diversity):
            short = self._shortfall(asked, exact)
            if short is not None:
                yield Wrong(("l", i, "l"), short.wrong, short.right)
        if self._needs.apart is not None:
            yield from self._apart(*self._needs.apart, exact)
        if exact:
            yield from self.unknown()

    def unknown(self) -> Iterator[Wrong]:
        """The values that hierarchies lack; the values themselves are not told."""
        for column, unknown in self._unknown.items():
            yield from unknown.told(column)

    def _distinct(self, column: str) -> int:
        return self.rows if self.by_rows else min(self.rows, self._tallies[column].distinct)

    def _shortfall(self, asked: Diversity, exact: bool) -> Shortfall | None:
        distinct = self._distinct(asked.column)
        if asked.kind == "distinct" or not exact or self.by_rows:
            if meets(distinct, asked.l):
                return None
            return Shortfall(
                f"is {asked.l:g}, more than the {distinct} values of {asked.column}",
                _at_most("l", distinct),
                asked.l,
                distinct,
                asked.column,
            )
        counts = self._tallies[asked.column].counts
        short = next(lacking(asked.column, asked, counts), None)
        if short is None or not self._needs.limit:
            return short
        left = int(np.minimum(counts, cap((asked,), counts)).sum())
        share = 1 - left / self.rows
        if left and share <= self._needs.limit:
            return None
        instead = f", or let {share:.2%} of the records be suppressed" if left else ""
        return Shortfall(short.wrong, short.right + instead, short.asked, short.most, short.column)

    def _apart(self, column: str, l: int, exact: bool) -> Iterator[Wrong]:  # noqa: E741
        subject = self._needs.subject
        for name in (column, *([subject] if subject else [])):
            distinct = self._distinct(name)
            if distinct < l:
                what = "subjects" if name == subject else "values"
                yield Wrong(("l",), f"is {l}, more than the {distinct} {what} of {name}", _at_most("l", distinct))
                return
        if not exact or self.by_rows:
            return
        most, of = max((int(self._tallies[name].counts.max()), name) for name in self._tallies)
        if most * l > self.rows:
            told = Infeasible(l, self.rows, most, of, self.rows // most)
            yield Wrong(("l",), told.wrong, told.right)


class _Tally:
    """How often each value came; once there are `enough` distinct ones, no more is counted."""

    def __init__(self, enough: float) -> None:
        self._enough = enough
        self._found = pl.DataFrame(schema={"h": pl.UInt64, "n": pl.UInt32})

    @property
    def distinct(self) -> int:
        return self._found.height

    @property
    def settled(self) -> bool:
        return self.distinct >= self._enough

    @property
    def counts(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return self._found["n"].cast(pl.Int64).to_numpy()

    def add(self, values: pl.Series) -> None:
        if self.settled:
            return
        counted = values.alias("v").to_frame().group_by("v").len("n").select(pl.col("v").hash().alias("h"), "n")
        self._found = pl.concat([self._found, counted]).group_by("h").agg(pl.col("n").sum())


class _Unknown:
    """The values of a column that its hierarchy lacks: how many, in how many records, and where the first are."""

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves
        self._values = pl.Series(dtype=pl.UInt64)
        self._records = 0
        self._places: list[str] = []

    def add(self, frame: pl.DataFrame, column: str, label: str) -> None:
        lost = frame.filter(self._leaves.lacks(column))
        if lost.height:
            self._records += lost.height
            self._values = pl.concat([self._values, lost.get_column(column).hash()]).unique()
            lines = lost.get_column(LINE).head(SHOWN - len(self._places))
            self._places += [f"{label}:{line}" for line in lines]

    def told(self, column: str) -> Iterator[Wrong]:
        if self._records:
            values, records = _several(len(self._values), "value"), _several(self._records, "record")
            wrong = f"lacks {values} of {column} that {records} of the data have (first: {', '.join(self._places)})"
            right = "give each of them a row, or leave such records out by a rule"
            yield Wrong(("grain", column), wrong, right)


def _at_most(what: str, most: int) -> str:
    return f"give {what} of at most {most}" if most > 1 else f"there is no group of several: leave {what} out"


def _several(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
