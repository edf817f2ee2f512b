"""What a table that can't be grouped lacks, and which values would have to be left out for it to be grouped.

The whole table as one class is the best that there is: k and l only grow as classes are put together, and its t is 0.
So what one class doesn't keep, no classes can. Knows no quasi-identifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from processors.privacy.domains.points import Ints
from processors.privacy.groups.guard import Sensitive, segments
from processors.privacy.guarantees import diversity
from processors.privacy.guarantees.classes import Segments
from processors.privacy.guarantees.enough import diverse
from processors.privacy.guarantees.requested import Diversity


@dataclass(frozen=True)
class Shortfall:
    """`asked` is more than the table has, `most` is what it has; `column` is the sensitive one, if l is meant."""

    wrong: str
    right: str
    asked: float
    most: float
    column: str | None = None

    def __str__(self) -> str:
        return f"{self.wrong}; {self.right}"


@dataclass(frozen=True)
class Infeasible:
    """No grouping keeps what is asked; fail closed. `needed` is the share of rows to suppress, if that would do."""

    shortfalls: tuple[Shortfall, ...]
    needed: float | None = None

    def __str__(self) -> str:
        lines = [str(one) for one in self.shortfalls]
        if self.needed is not None:
            lines.append(f"or let {self.needed:.2%} of the rows be suppressed")
        return "\n".join(lines)


def shortfalls(k: int, rows: int, subjects: int | None, sensitive: Sequence[Sensitive]) -> Iterator[Shortfall]:
    """All that one class of all rows lacks."""
    most, what = (rows, "rows") if subjects is None else (subjects, "subjects")
    if k > most:
        right = f"give k of at most {most}" if most else "there is nothing to group"
        yield Shortfall(f"k = {k} is more than the {most} {what} there are", right, k, most)
    for one in sensitive:
        counts = np.bincount(one.codes, minlength=one.size)
        yield from (short for asked in one.diversity for short in lacking(one.name, asked, counts))


def capped(sensitive: Sequence[Sensitive]) -> list[tuple[Sensitive, int]]:
    """How many rows of each value may stay at most for l to hold: the most frequent values are what is in its way."""
    return [(one, cap(one.diversity, np.bincount(one.codes, minlength=one.size))) for one in sensitive]


def cap(diversity: Sequence[Diversity], counts: Ints) -> int:
    """The same of one column, given how many rows each of its values has."""
    low, high = 0, int(counts.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        left = np.minimum(counts, middle)
        low, high = (middle, high) if all(_reached(asked, left) for asked in diversity) else (low, middle - 1)
    return low


def _reached(asked: Diversity, counts: Ints) -> bool:
    return bool(counts.any() and diverse(_one_class(counts), asked)[0])


def _one_class(counts: Ints) -> Segments:
    codes = np.flatnonzero(counts).astype(np.int32)
    return segments(np.zeros(len(codes), dtype=np.int32), 1, codes, len(counts), counts[codes])


def lacking(column: str, asked: Diversity, counts: Ints) -> Iterator[Shortfall]:
    """What one class lacks of an l, given how many of its rows each value has."""
    if not counts.any() or _reached(asked, counts):
        return
    whole = _one_class(counts)
    distinct = int(whole.distinct[0])
    if asked.kind == "distinct":
        wrong = f"l = {asked.l:g} is more than the {distinct} values of {column}"
        yield Shortfall(wrong, f"give l of at most {distinct}", asked.l, distinct, column)
    elif asked.kind == "entropy":
        most = float(diversity.entropy(whole)[0])
        shown = np.floor(most * 1000) / 1000
        wrong = f"entropy l = {asked.l:g} is above what the frequencies of {column} allow"
        yield Shortfall(wrong, f"give l of at most {shown:g}", asked.l, most, column)
    else:
        fitting = [level for level in range(1, distinct + 1) if diversity.recursive(whole, level)[0] < (asked.c or 0)]
        most, above = max(fitting, default=0), float(diversity.recursive(whole, int(asked.l))[0])
        ways = [f"l of at most {most}"] if most else []
        ways += [f"c above {np.ceil(above * 1000) / 1000:g}"] if np.isfinite(above) else []
        wrong = f"recursive (c, l) = ({asked.c:g}, {asked.l:g}) is above what the frequencies of {column} allow"
        yield Shortfall(wrong, f"give {' or '.join(ways) or 'another column'}", asked.l, most, column)
