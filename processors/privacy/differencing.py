"""Two published versions of one table: does comparing them single anyone out?

`compare` looks for groups of fewer than k subjects that neither version shows and both together do, and for groups of
which both together tell a sensitive value that neither tells. It returns them; a publication that finds any is to be
refused. Findings name classes by number and never a value.

With a row identity in both versions rows are linked: who was in this class and is now in that one, who left, who came,
whose sensitive values changed. Without one an attacker has only regions and the values in them. He is taken to assume
that as little changed as possible, and to know all that follows: a record of one version may be one of the other if
their regions overlap and their sensitive values are equal; over all ways to match as many records as can be matched,
what lies between the least and the most is what he knows. Found is a group that surely has someone and surely fewer
than k: those common to a class of each version, those of a class outside one of the other, those who left or came.
What more than two classes tell together is found only in so far as it follows for such a group.

Regions overlap where their quasi-identifiers are equal; for a column with `spans`, where its intervals do. Blocks of
overlapping regions are looked at one by one; one that is too large to be decided is a finding too. A null is a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from processors.privacy.flows import Ints, Mask, matched, room

Spans = Callable[
    [pl.Series], tuple[pl.Series, pl.Series]
]  # the least and the greatest value that a group may stand for

LEFT: Final = "left"  # of `before`, in no class of the later version
CAME: Final = "came"
COMMON: Final = "common"  # in class `before` of the earlier version and in class `after` of the later one
CHANGED: Final = "changed"  # the same, and with other sensitive values
OUTSIDE_AFTER: Final = "outside after"  # in class `before`, and not in class `after`
OUTSIDE_BEFORE: Final = "outside before"
VALUE: Final = "value"  # everyone in both classes (or who left, or came) has one of too few values
UNDECIDED: Final = "undecided"
LIMIT: Final = 900  # pairs of classes of a block that are looked through
_ALL: Final = 1 << 62

_FOUND = {"kind": pl.String, "before": pl.Int64, "after": pl.Int64, "fewest": pl.Int64, "most": pl.Int64}
_Values = tuple[object, ...]
_Finding = tuple[str, int | None, int | None, int, int]


@dataclass(frozen=True)
class Comparison:
    """`found` has a kind, a class of each version (null: none, or several) and how many rows or subjects that is."""

    found: pl.DataFrame
    before: pl.DataFrame  # the classes by number
    after: pl.DataFrame
    k: int

    @property
    def safe(self) -> bool:
        return not self.found.height

    def reason(self) -> str:
        """Why these versions must not both be published; empty when they may."""
        counts = self.found["kind"].value_counts().sort("kind").rows()
        told = ", ".join(f"{count} {kind}" for kind, count in counts)
        return (
            f"comparing both versions shows groups of fewer than {self.k} subjects or their values: {told}"
            if told
            else ""
        )


def compare(
    before: pl.DataFrame,
    after: pl.DataFrame,
    quasi: Sequence[str],
    sensitive: Sequence[str] = (),
    k: int = 2,
    *,
    distinct: int = 2,
    identity: str | None = None,
    subject: str | None = None,
    spans: Mapping[str, Spans] | None = None,
) -> Comparison:
    """`distinct`: how many values of each sensitive column a group has to have, where its classes have as many."""
    classes = [frame.select(quasi).unique(maintain_order=True).with_row_index("~class") for frame in (before, after)]
    rows = [_coded(frame, own, quasi, sensitive) for frame, own in zip((before, after), classes, strict=True)]
    if identity is not None:
        for one, frame in zip((0, 1), (before, after), strict=True):
            rows[one] = rows[one].with_columns(frame[identity].alias("~id"), frame[subject or identity].alias("~who"))
        found = _linked(rows[0], rows[1], len(sensitive), k, distinct)
    else:
        least = 1 + (k - 1) * _most_rows(rows, [before, after], subject)
        edges = _overlaps(classes[0], classes[1], quasi, spans or {})
        found = pl.DataFrame(
            list(_unlinked(rows[0], rows[1], edges, len(sensitive), least, distinct)), schema=_FOUND, orient="row"
        )
    found = found.sort("kind", "before", "after", nulls_last=True)
    first, second = (own.drop("~class") for own in classes)
    return Comparison(found, first, second, k)


def _coded(frame: pl.DataFrame, classes: pl.DataFrame, quasi: Sequence[str], sensitive: Sequence[str]) -> pl.DataFrame:
    """The class of each row as `~class`, its sensitive values as `~0`, `~1` and so on."""
    found = frame.join(classes, on=list(quasi), how="left", nulls_equal=True, maintain_order="left")
    return found.select(
        pl.col("~class").cast(pl.Int64), *(pl.col(name).alias(f"~{i}") for i, name in enumerate(sensitive))
    )


def _most_rows(rows: list[pl.DataFrame], frames: list[pl.DataFrame], subject: str | None) -> int:
    """How many rows of one subject a class has at most: so many rows may be of one."""
    if subject is None:
        return 1
    most = 1
    for one, frame in zip(rows, frames, strict=True):
        counts = one.select("~class").with_columns(frame[subject].alias("~who")).group_by("~class", "~who").len()
        most = max([most, *counts["len"].top_k(1)])
    return most


def _linked(before: pl.DataFrame, after: pl.DataFrame, columns: int, k: int, distinct: int) -> pl.DataFrame:
    """Groups of rows by their classes in both versions, and by whether their values changed."""
    both = before.join(after, on="~id", how="full", suffix="'", coalesce=True)
    lost, new = pl.col("~class").is_null() | pl.col("~class'").is_null(), [f"~{i}" for i in range(columns)]
    altered = pl.any_horizontal(pl.lit(False), *(pl.col(name).ne_missing(pl.col(f"{name}'")) for name in new))
    both = both.with_columns(
        (altered & ~lost).alias("~changed"),
        pl.coalesce("~who", "~who'").alias("~who"),
        *(
            pl.when(pl.col("~class'").is_null()).then(pl.col(name)).otherwise(pl.col(f"{name}'")).alias(name)
            for name in new
        ),
    )
    groups = both.group_by("~class", "~class'", "~changed").agg(
        pl.col("~who").n_unique().cast(pl.Int64).alias("fewest"), *(pl.col(name).n_unique() for name in new)
    )
    for frame, key, ending in ((before, "~class", "<"), (after, "~class'", ">")):
        own = frame.group_by(pl.col("~class").alias(key)).agg(
            pl.col(name).n_unique().alias(name + ending) for name in new
        )
        groups = groups.join(own, on=key, how="left")
    kind = pl.when(pl.col("~class'").is_null()).then(pl.lit(LEFT)).when(pl.col("~class").is_null()).then(pl.lit(CAME))
    named = kind.when("~changed").then(pl.lit(CHANGED)).otherwise(pl.lit(COMMON))
    wide = [pl.min_horizontal(pl.lit(distinct), f"{name}<", f"{name}>") for name in new]
    told = pl.any_horizontal(pl.lit(False), *(pl.col(name) < enough for name, enough in zip(new, wide, strict=True)))
    places = [
        pl.col("~class").alias("before"),
        pl.col("~class'").alias("after"),
        pl.col("fewest"),
        pl.col("fewest").alias("most"),
    ]
    few = groups.filter(pl.col("fewest") < k).select(named.alias("kind"), *places)  # Enforces: no group below k
    same = groups.filter(told).select(pl.lit(VALUE).alias("kind"), *places)
    return pl.concat([few, same]).select(pl.col(name).cast(dtype) for name, dtype in _FOUND.items())


def _overlaps(
    before: pl.DataFrame, after: pl.DataFrame, quasi: Sequence[str], spans: Mapping[str, Spans]
) -> list[tuple[int, int]]:
    """The pairs of classes whose regions have something in common."""
    plain = [name for name in quasi if name not in spans]
    boxes = [name for name in quasi if name in spans]
    keys = pl.concat([frame.select(pl.lit(0).alias("~all"), *plain) for frame in (before, after)]).unique()
    keys = keys.with_row_index("~key")
    sides = []
    for frame, end in ((before, ""), (after, "'")):
        own = frame.with_columns(pl.lit(0).alias("~all"))
        own = own.join(keys, on=["~all", *plain], how="left", nulls_equal=True, maintain_order="left")
        bounds = [
            bound.rename(f"{i}{side}{end}")
            for i, name in enumerate(boxes)
            for bound, side in zip(spans[name](frame[name]), ("<", ">"), strict=True)
        ]
        sides.append(own.select(pl.col("~class", "~key").name.suffix(end)).with_columns(bounds))
    near = [pl.col(f"{i}<") <= pl.col(f"{i}>'") for i in range(len(boxes))]
    near += [pl.col(f"{i}<'") <= pl.col(f"{i}>") for i in range(len(boxes))]
    if plain or not boxes:  # else the equality, which holds for all, would be taken to join by
        near.append(pl.col("~key") == pl.col("~key'"))
    pairs = sides[0].join_where(sides[1], *near)
    return pairs.select("~class", "~class'").rows()


def _unlinked(
    before: pl.DataFrame, after: pl.DataFrame, edges: list[tuple[int, int]], columns: int, k: int, distinct: int
) -> Iterator[_Finding]:
    counts = []
    for frame in (before, after):
        own: dict[int, dict[_Values, int]] = {}
        for number, *values, count in frame.group_by("~class", *(f"~{i}" for i in range(columns))).len().rows():
            own.setdefault(number, {})[tuple(values)] = count
        counts.append(own)
    for rows, cols, pairs in _blocks(len(counts[0]), len(counts[1]), edges):
        own_counts = [counts[0][row] for row in rows], [counts[1][col] for col in cols]
        if len(rows) == len(cols) == 1 and own_counts[0] == own_counts[1] and sum(own_counts[0][0].values()) >= k:
            continue  # the same in both versions
        if pairs is None:
            yield UNDECIDED, None, None, 0, 0
        else:
            yield from _Block(rows, cols, pairs, *own_counts).findings(k, distinct)


def _blocks(rows: int, cols: int, edges: list[tuple[int, int]]) -> Iterator[tuple[list[int], list[int], Mask | None]]:
    """Classes of both versions that hang together by overlaps, and which of them overlap; none of a block too large."""
    root = list(range(rows + cols))

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = node = root[root[node]]
        return node

    for row, col in edges:
        root[find(row)] = find(rows + col)
    blocks: dict[int, tuple[list[int], list[int]]] = {}
    place = []
    for node in range(rows + cols):
        side = blocks.setdefault(find(node), ([], []))[node >= rows]
        place.append(len(side))
        side.append(node - rows if node >= rows else node)
    pairs = {
        top: np.zeros((len(own), len(other)), dtype=np.bool_)
        for top, (own, other) in blocks.items()
        if len(own) * len(other) <= LIMIT
    }
    for row, col in edges:
        if (mask := pairs.get(find(row))) is not None:
            mask[place[row], place[rows + col]] = True
    for top, (own, other) in blocks.items():
        yield own, other, pairs.get(top)


class _Block:
    """One more row stands for who came, one more column for who left."""

    def __init__(
        self,
        rows: list[int],
        cols: list[int],
        pairs: Mask,
        before: list[dict[_Values, int]],
        after: list[dict[_Values, int]],
    ) -> None:
        self._rows: list[int | None] = [*rows, None]
        self._cols: list[int | None] = [*cols, None]
        self._pairs = pairs
        self._before, self._after = before, after
        self._values = list(dict.fromkeys(value for own in (*before, *after) for value in own))
        shape = (len(rows) + 1, len(cols) + 1)
        self._fewest = np.zeros(shape, dtype=np.int64)
        self._gone: dict[_Values, int] = {}
        self._new: dict[_Values, int] = {}
        self._ways: dict[_Values, Ints] = {}  # one way to match the most records
        self._free = np.ones(shape, dtype=np.bool_)
        self._free[:-1, :-1], self._free[-1, -1] = pairs, False
        for value in self._values:
            have = np.array([own.get(value, 0) for own in before], dtype=np.int64)
            has = np.array([own.get(value, 0) for own in after], dtype=np.int64)
            common = matched(have, has, pairs)
            x = np.zeros(shape, dtype=np.int64)
            x[:-1, :-1], x[:-1, -1], x[-1, :-1] = common, have - common.sum(axis=1), has - common.sum(axis=0)
            self._gone[value], self._new[value] = int(x[:, -1].sum()), int(x[-1].sum())
            self._ways[value] = x
            for p, q in np.argwhere(x).tolist():
                self._fewest[p, q] += x[p, q] - room(x, self._free, p, q, grow=False)

    def findings(self, k: int, distinct: int) -> Iterator[_Finding]:
        for p, row in enumerate(self._rows):
            for q, col in enumerate(self._cols):
                fewest, held = int(self._fewest[p, q]), [self._class(p, 0), self._class(q, 1)]
                if not self._free[p, q] or (not fewest and all(sum(own.values()) >= k for own in held if own)):
                    continue  # nobody is there for sure, so no group of either class is small for it
                each = {value: x[p, q] + room(x, self._free, p, q, grow=True) for value, x in self._ways.items()}
                most, can = int(sum(each.values())), [value for value, count in each.items() if count]
                kind = LEFT if col is None else CAME if row is None else COMMON
                yield from _told(kind, row, col, fewest, most, can, [list(own) for own in held if own], k, distinct)
                if row is not None and col is not None:
                    yield from self._outside(p, q, fewest, most, k)
        for kind, sums, sides in ((LEFT, self._gone, self._before), (CAME, self._new, self._after)):
            if len(sides) > 1:  # of a single class that is the same as of the block
                total = sum(sums.values())
                everyone = list(dict.fromkeys(value for own in sides for value in own))
                can = [value for value, count in sums.items() if count]
                yield from _told(kind, None, None, total, total, can, [everyone], k, distinct)

    def _class(self, at: int, side: int) -> dict[_Values, int]:
        classes = self._after if side else self._before
        return classes[at] if at < len(classes) else {}

    def _outside(self, p: int, q: int, fewest: int, most: int, k: int) -> Iterator[_Finding]:
        """Those of a class outside a class of the other version; where it overlaps no third one, those left or came."""
        for kind, own, others in (
            (OUTSIDE_AFTER, self._before[p], self._pairs[p]),
            (OUTSIDE_BEFORE, self._after[q], self._pairs[:, q]),
        ):
            size = sum(own.values())
            if others.sum() > 1 and size - most >= 1 and size - fewest < k:
                yield kind, self._rows[p], self._cols[q], size - most, size - fewest


def _told(
    kind: str,
    row: int | None,
    col: int | None,
    fewest: int,
    most: int,
    can: list[_Values],
    held: list[list[_Values]],
    k: int,
    distinct: int,
) -> Iterator[_Finding]:
    """Whether a group that surely has someone is small, or has fewer values than each class that holds it."""
    if fewest < 1:
        return
    if most < k:  # Enforces: no group below k
        yield kind, row, col, fewest, most
    for column in range(len(can[0])):
        enough = min(distinct, *(len({value[column] for value in own}) for own in held))
        if len({value[column] for value in can}) < enough:
            yield VALUE, row, col, fewest, most
            return
