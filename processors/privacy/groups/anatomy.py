"""Anatomization: the link between quasi-identifiers and a sensitive value is cut, the values themselves stay exact.

Two outputs come out, linked by a group alone: QIT (quasi-identifiers, group) and ST (group, sensitive value, count).
Always holds: every group has at least `diversity` records, no two with the same sensitive value and, where a subject
column is given, no two of one subject. So each value of a group belongs to a record with odds of at most
1/diversity, and there are as many groups as can be (records // diversity), which reaches the least error with which
the table can be put together again (Xiao and Tao, VLDB 2006). A null is a value, and a subject, of its own.

It works exactly when no value and no subject has more than records // diversity records. For values Xiao and Tao
proved it; with subjects the records are edges between subjects and values, groups are matchings, and a bipartite
graph falls into any number of even matchings that is not below its largest degree (König 1916, de Werra 1971).

Random are: which record of a value goes where, the groups' names, and the order of both outputs; all of it by keyed
functions of the records' identities, so that the order of the input shows nowhere. Knows no clock or offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from processors.anonymize.randomness import Draw, subkey, words
from processors.privacy.groups.matchings import Ints, set_apart
from processors.wrong_config import MisfitError

GROUP = "group"
COUNT = "count"
_SHIFT = np.uint64(1)


@dataclass(frozen=True)
class Anatomized:
    """What is published: two tables, each in a random order of its own."""

    qit: pl.DataFrame
    st: pl.DataFrame
    groups: int


@dataclass(frozen=True)
class Infeasible:
    """The table has no such groups: one value, or one subject, has too many of the records."""

    diversity: int
    records: int
    most: int  # records of the most frequent value or subject
    of: str  # the column that is too uneven
    nearest: int  # the largest diversity that the table has; 1 says that it has none

    @property
    def wrong(self) -> str:
        found = f"{self.most} of {self.records} records have the same {self.of}"
        return f"groups of {self.diversity} different values can't be formed: {found}"

    @property
    def right(self) -> str:
        return f"the nearest that can be met is {self.nearest}" if self.nearest > 1 else "no diversity can be met"

    def __str__(self) -> str:
        return f"{self.wrong}; {self.right}"


def anatomize(
    frame: pl.DataFrame,
    quasi: Sequence[str],
    sensitive: str,
    diversity: int,
    draw: Draw,
    subject: str | None = None,
    release: str = "",
) -> Anatomized | Infeasible:
    """`draw` holds an identity of each row; groups of different releases (windows) have independent names."""
    if diversity < 2:
        raise MisfitError("asks for no diversity", "give at least 2", ("l",))
    taken = {GROUP, COUNT} & {*quasi, sensitive}
    if taken or sensitive in quasi:
        raise MisfitError(f"names {', '.join(sorted(taken)) or sensitive} twice", "rename the column", ("columns",))
    if len(draw.identities) != frame.height or draw.identities.n_unique() != frame.height:
        raise ValueError("every record needs an identity of its own")
    order = draw.bits("anatomy", sensitive, 0)[0].arg_sort()
    frame, draw = frame[order], Draw(draw.key, draw.table, draw.identities.gather(order))
    values = _codes(frame, sensitive)
    subjects = None if subject is None else _codes(frame, subject)
    wrong = _feasible(values, subjects, sensitive, subject, diversity)
    if wrong is not None:
        return wrong
    groups = _grouped(values, diversity, draw)
    if subjects is not None:
        groups = set_apart(groups, values, subjects, diversity, draw)
    return _outputs(frame, quasi, sensitive, groups, draw, release)


def eligible(frame: pl.DataFrame, sensitive: str, diversity: int, draw: Draw, subject: str | None = None) -> pl.Series:
    """Which rows can be anatomized together: all, or the rest has to wait (for another window) or to be suppressed.

    Of the values alone no more rows could be kept; which rows of a value that is too frequent wait is random.
    """
    if not frame.height:
        return pl.Series("eligible", [], dtype=pl.Boolean)
    chance = draw.bits("anatomy-eligible", sensitive)[0]
    ends = [sensitive] if subject is None else [sensitive, subject]
    turns = frame.with_columns(chance.alias("~chance")).select(
        pl.col("~chance").rank("ordinal").over(end).alias(f"~{i}") for i, end in enumerate(ends)
    )
    turn = turns.select(pl.max_horizontal(pl.all())).to_series()
    most, kept = frame.height, frame.height
    while most * diversity > kept:  # no value may have more than a share of what is kept, which shrinks with it
        most = kept // diversity
        kept = int((turn <= most).sum())
    return (turn <= most).alias("eligible")


def _codes(frame: pl.DataFrame, column: str) -> Ints:
    """Whole numbers for the values, in the order in which they come up."""
    each = frame.select(pl.col(column).alias("v")).unique(maintain_order=True).with_row_index("c")
    found = frame.select(pl.col(column).alias("v")).join(
        each, on="v", how="left", nulls_equal=True, maintain_order="left"
    )
    codes: Ints = found["c"].cast(pl.Int64).to_numpy()
    return codes


def _feasible(
    values: Ints, subjects: Ints | None, sensitive: str, subject: str | None, diversity: int
) -> Infeasible | None:
    most, of = int(np.bincount(values, minlength=1).max()), sensitive
    if subjects is not None and subject is not None and int(np.bincount(subjects, minlength=1).max()) > most:
        most, of = int(np.bincount(subjects).max()), subject
    if most * diversity <= len(values):  # Enforces: the most frequent value has at most n/l of the records
        return None
    return Infeasible(diversity, len(values), most, of, len(values) // most)


def _grouped(values: Ints, diversity: int, draw: Draw) -> Ints:
    """A group for each record, so that none has a value twice."""
    if not len(values):
        return values
    counts = np.bincount(values)
    bucket, group, made = picks(counts, diversity)
    rows = np.argsort(values, kind="stable")  # records lie in random order, so they do within their buckets
    starts = np.cumsum(counts) - counts
    by = np.argsort(bucket, kind="stable")
    bucket = bucket[by]
    first = np.searchsorted(bucket, np.arange(len(counts)))
    groups = np.full(len(values), -1, dtype=np.int64)
    groups[rows[starts[bucket] + np.arange(len(bucket)) - first[bucket]]] = group[by]
    left = np.flatnonzero(groups < 0)
    chance = Draw(draw.key, draw.table, draw.identities[left]).bits("anatomy-residue", "")[0].to_numpy()
    for row, bits in zip(left, chance, strict=True):  # fewer than `diversity`
        lacking = np.ones(made, dtype=np.bool_)
        lacking[groups[(values == values[row]) & (groups >= 0)]] = False
        candidates = np.flatnonzero(lacking)
        groups[row] = candidates[int(bits) % len(candidates)]
    return groups


def _outputs(
    frame: pl.DataFrame, quasi: Sequence[str], sensitive: str, groups: Ints, draw: Draw, release: str
) -> Anatomized:
    number = int(groups.max(initial=-1)) + 1
    first = np.empty(number, dtype=np.int64)  # a record of each group: its name is drawn by that one's identity
    first[groups[::-1]] = np.arange(len(groups))[::-1]
    named = pl.Series(GROUP, _names(draw, first, release)[groups], dtype=pl.Int64)
    qit = frame.select(*quasi).with_columns(named)
    st = pl.DataFrame([named, frame[sensitive]]).with_columns(pl.lit(1, dtype=pl.Int64).alias(COUNT))
    # independent orders: the place of a row in one output tells nothing of its place in the other
    return Anatomized(
        qit[draw.bits("anatomy-qit", release)[0].arg_sort()],
        st[draw.bits("anatomy-st", release)[0].arg_sort()],
        number,
    )


def _names(draw: Draw, first: Ints, release: str) -> Ints:
    """Random names of 63 bits, all different."""
    key = subkey(draw.key, "anatomy-group", draw.table, release)
    identities = draw.identities[first].reinterpret(signed=False)
    block = 0
    while True:
        names: Ints = (words(key, identities, block)[0].to_numpy() >> _SHIFT).astype(np.int64)
        if pl.Series(names).n_unique() == len(names):
            return names
        block += 1


def picks(counts: Ints, diversity: int) -> tuple[Ints, Ints, int]:
    """One record from each of the largest buckets, group after group, while so many buckets have records.

    Gives the bucket and the group of each pick, and how many groups there are. Buckets above the last one taken (the
    top) are in every group; those tied with it (the band, whose counts differ by one at most) take turns. So many
    groups are made at once until a bucket of the top, or one below, meets the band.
    """
    buckets, groups, made = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)], 0
    order = np.argsort(-counts, kind="stable")
    height = counts[order].astype(np.int64)
    at = height[diversity - 1]
    high, low = int((height > at).sum()), int((height >= at).sum())
    top, band, band_height = order[:high], order[high:low], height[high:low].copy()
    top_height = height[:high].copy()
    while (rounds := _rounds(top_height, band_height, height[low:], diversity)) > 0:
        slots = diversity - len(top)
        place = np.arange(slots * rounds)
        buckets += [np.repeat(top, rounds), band[place % len(band)]]
        groups += [np.tile(np.arange(rounds), len(top)) + made, place // slots + made]
        made += rounds
        top_height -= rounds
        full, rest = divmod(slots * rounds, len(band))
        band_height -= full
        band_height[:rest] -= 1
        band, band_height = np.roll(band, -rest), np.roll(band_height, -rest)
        level = band_height[0]
        joined = top_height <= level
        below = low + int((height[low:] >= level).sum())
        band = np.concatenate([top[joined], order[low:below], band])
        band_height = np.concatenate([top_height[joined], height[low:below], band_height])
        top, top_height, low = top[~joined], top_height[~joined], below
    return np.concatenate(buckets), np.concatenate(groups), made


def _rounds(top: Ints, band: Ints, below: Ints, diversity: int) -> int:
    """How many groups can be made until the buckets' order changes, or one has no record left."""
    total, width, slots = int(band.sum()), len(band), diversity - len(top)
    rounds = total // slots
    if len(top) and width > slots:
        rounds = min(rounds, (width * (int(top[-1]) - 1) - total) // (width - slots) + 1)
    if len(below) and below[0] > 0:
        rounds = min(rounds, -((width * int(below[0]) - total) // slots))
    return rounds
