"""Two published versions of one table of totals: does subtracting them tell of fewer than k subjects?

What differs between the figures of a group that both versions show is told of those who came to it, left it or changed.
They are at least as many as a published count of subjects differs by: that has to be k. Where nothing published differs
nothing is told; where no count is published nobody knows of how many. The same is asked of totals over some of the
grouping columns, added up from the groups that both show.

Groups that one version shows alone are k subjects or more there, and subtracted from nothing; but those that may have
become each other, as small ones are merged, are subtracted. Knows published texts and no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, InvalidOperation
from itertools import combinations
from typing import Final

import numpy as np
import polars as pl

from processors.privacy.releases.differences import FEW, MERGED, OVER, UNCOUNTED, UNDECIDED
from processors.privacy.releases.overlaps import Ints, Marks, Meets, overlaps
from processors.privacy.releases.regions import Naming, meets
from schemas.columns import ColumnType

ALL_OF: Final = 4  # of so many grouping columns every choice is added up over, of more none or one, and all but one
EXACT: Final = Context(prec=1000, traps=[Inexact, InvalidOperation])  # sums are exact or there is none
PAIRS: Final = 1_000_000  # of groups that may have become each other

_LATER: Final = "'"
_THERE: Final = "~there"
_SINGLE: Final = ("min(", "max(", "count(distinct")  # what tells nothing of a total over groups


@dataclass(frozen=True)
class Totals:
    """`by` and `figures`: of each published column what it is, as the task says it. `counts` are figures of which a
    change by n takes n subjects or more; `merged` the grouping columns that small groups are merged along, each with
    its type and hierarchy before, if those tell which names are within which.

    `named`: whether rows are told apart by the grouping columns that are published as they are.
    """

    by: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    counts: tuple[str, ...] = ()
    merged: Mapping[str, tuple[ColumnType, list[list[str]] | None] | None] = field(default_factory=dict)
    named: bool = True


def compared(before: pl.DataFrame, after: pl.DataFrame, one: Totals, other: Totals, k: int) -> dict[str, int]:
    """What both tell that neither alone does, by its kind. Frames of texts, a row for each group."""
    names = _same(one, other)
    if not names:
        return {}  # no figure to subtract
    by = [name for name in one.by if name in other.by]
    before = before.select(*by, *names).cast(pl.String)
    after = after.select(*by, *(pl.col(later).alias(name) for name, later in names.items())).cast(pl.String)
    if not before.height or not after.height:
        return {}
    if not (one.named and other.named):
        return {} if before.sort(pl.all()).equals(after.sort(pl.all())) else {UNDECIDED: 1}
    counts = [name for name, later in names.items() if name in one.counts and later in other.counts]
    texts = figures_that_add_up(one)
    adds = [name for name in texts.values() if name in names]
    rest = [name for name in names if one.figures[name] not in texts and not one.figures[name].startswith(_SINGLE)]
    sides = _Sides(before, after, counts, adds, rest, list(names), k)
    if set(one.by) != set(other.by):
        return _kinds({OVER: sum(sides.over(columns, everything=True) for columns in choices(by))})
    few = sides.few(by)
    found = {FEW if counts else UNCOUNTED: few}
    found[OVER] = sum(sides.over(columns) for columns in choices(by) if len(columns) < len(by))
    merged = {name: _meets(one.merged.get(name), other.merged.get(name)) for name in {*one.merged, *other.merged}}
    if merged:
        found[MERGED] = sides.merged(by, merged)
    return _kinds(found)


def _kinds(found: Mapping[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in sorted(found.items()) if count}


def _same(one: Totals, other: Totals) -> dict[str, str]:
    """The figures that both have, by what they say, else by their names; the later one's name of each."""
    told = {text: name for name, text in other.figures.items()}
    found = {name: told[text] for name, text in one.figures.items() if text in told}
    taken = set(found.values())
    return found | {name: name for name in one.figures if name not in found and name in {*other.figures} - taken}


def figures_that_add_up(totals: Totals) -> dict[str, str]:
    """What they are, and their names."""
    adds = {text: name for name, text in totals.figures.items() if text.startswith(("count(", "sum("))}
    return {text: name for text, name in adds.items() if not text.startswith(_SINGLE)}


def added_up(
    frame: pl.DataFrame, columns: Sequence[str], figures: Mapping[str, str]
) -> dict[tuple[str | None, ...], dict[str, Decimal | None]]:
    """Of each total over groups its figures, exactly; `figures`: the columns by what they are called in the result."""
    texts = frame.select(*columns, *(pl.col(name).alias(text) for text, name in figures.items())).cast(pl.String)
    totals = texts.group_by([pl.lit(0).alias("~all"), *columns]).agg(pl.all())
    return {
        tuple(row[name] for name in columns): {text: _sum(row[text]) for text in figures}
        for row in totals.iter_rows(named=True)
    }


def choices(columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The grouping columns that totals are added up over."""
    sizes = range(len(columns) + 1) if len(columns) <= ALL_OF else (0, 1, len(columns) - 1, len(columns))
    for size in sizes:
        yield from combinations(columns, size)


def _meets(
    one: tuple[ColumnType, list[list[str]] | None] | None, other: tuple[ColumnType, list[list[str]] | None] | None
) -> Meets | None:
    return None if one is None or other is None else meets(Naming(*one), Naming(*other))


class _Sides:
    """Groups of both versions, with what is added up of them and what is not."""

    def __init__(
        self,
        before: pl.DataFrame,
        after: pl.DataFrame,
        counts: Sequence[str],
        adds: Sequence[str],
        rest: Sequence[str],
        figures: Sequence[str],
        k: int,
    ) -> None:
        self._before, self._after, self._k = before, after, k
        self._counts, self._adds, self._rest, self._figures = counts, adds, rest, figures

    def few(self, by: Sequence[str]) -> int:
        """How many groups of both changed by fewer than k, or nobody knows by how many."""
        self._both = _joined(self._before, self._after, by).with_columns(
            pl.any_horizontal(
                pl.lit(False), *(pl.col(name).ne_missing(pl.col(name + _LATER)) for name in self._figures)
            ).alias("~changed"),
            *(_difference(name).alias(f"~{name}") for name in self._counts),
        )
        changed = self._both.filter("~changed")
        enough = pl.any_horizontal(
            pl.lit(False), *(pl.col(f"~{name}").abs().fill_null(0) >= self._k for name in self._counts)
        )
        return changed.filter(~enough).height  # Enforces: no group changes by fewer than k

    def over(self, columns: Sequence[str], *, everything: bool = False) -> int:
        """How many totals over groups changed by fewer than k: of groups that both show, or of all that each shows."""
        if everything:
            before, after = (
                frame.group_by([pl.lit(0).alias("~all"), *columns]).agg(pl.col(self._adds)).drop("~all")
                for frame in (self._before, self._after)
            )
            totals = _joined(before, after, columns)
        else:
            inner = self._both.group_by([pl.lit(0).alias("~all"), *columns])
            several = pl.col("~changed").sum() > 1  # of one group it is that group
            totals = inner.agg(several.alias("~several"), pl.all()).filter("~several")
        return sum(not self._safe(row, added_up=everything) for row in totals.iter_rows(named=True))

    def merged(self, by: Sequence[str], how: Mapping[str, Meets | None]) -> int:
        """How many sets of groups became other ones that may have the same records, with fewer than k more or less.

        Groups that are within each other are one and its parts; where that isn't known only one and one are compared.
        """
        gone, came = _without(self._before, self._after, by), _without(self._after, self._before, by)
        pairs = overlaps(gone, came, by, {name: one or _any for name, one in how.items()}, PAIRS)
        if pairs is None:
            return 1
        known, found = all(one is not None for one in how.values()), 0
        for left, right in _together(*pairs):
            row = {name: gone[name].gather(left).to_list() for name in self._adds}
            row |= {name + _LATER: came[name].gather(right).to_list() for name in self._adds}
            fits = min(len(left), len(right)) == 1 and (known or len(left) == len(right))
            found += not (fits and self._safe(row, added_up=True))
        return found

    def _safe(self, row: Mapping[str, list[str | None]], *, added_up: bool) -> bool:
        """Of figures of several groups: whether their totals differ by k, or not at all."""
        sums = {name: (_sum(row[name]), _sum(row[name + _LATER])) for name in self._adds}
        counts = [name for name in self._counts if name in sums]
        if not counts and not added_up:  # subjects that may be in several groups
            counts = list(self._counts)
            sums |= {name: (_sum(row[name]), _sum(row[name + _LATER])) for name in counts}
        if any(
            one is not None and other is not None and abs(EXACT.subtract(other, one)) >= self._k
            for one, other in (sums[name] for name in counts)
        ):
            return True
        rest = all(name in row and row[name] == row[name + _LATER] for name in self._rest)
        return rest and all(one is not None and one == other for one, other in sums.values())


def _joined(before: pl.DataFrame, after: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    if not by:
        return pl.concat([before, after.rename(lambda name: name + _LATER)], how="horizontal")
    return before.join(after, on=by, how="inner", nulls_equal=True, suffix=_LATER, maintain_order="left")


def _without(frame: pl.DataFrame, other: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    return frame.join(other, on=by, how="anti", nulls_equal=True, maintain_order="left")


def _difference(name: str) -> pl.Expr:
    return pl.col(name + _LATER).cast(pl.Int64) - pl.col(name).cast(pl.Int64)


def _sum(texts: Sequence[str | None]) -> Decimal | None:
    """Exactly; a null adds nothing. None of what is no number, or too large and too small for that at once."""
    total = Decimal()
    try:
        for text in texts:
            total = total if text is None else EXACT.add(total, EXACT.create_decimal(text))
    except (Inexact, InvalidOperation):
        return None
    return total if total.is_finite() else None


def _any(one: pl.Series, other: pl.Series) -> Marks:
    return np.ones((len(one), len(other)), dtype=np.bool_)


def _together(left: Ints, right: Ints) -> Iterator[tuple[list[int], list[int]]]:
    """Of pairs the sets of those that hang together."""
    near: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for one, other in zip(left.tolist(), right.tolist(), strict=True):
        near.setdefault((0, one), []).append((1, other))
        near.setdefault((1, other), []).append((0, one))
    seen: set[tuple[int, int]] = set()
    for start in near:
        line = [] if start in seen else [start]
        seen.add(start)
        for node in line:
            fresh = [other for other in near[node] if other not in seen]
            seen.update(fresh)
            line += fresh
        if line:
            yield [at for side, at in line if side == 0], [at for side, at in line if side == 1]
