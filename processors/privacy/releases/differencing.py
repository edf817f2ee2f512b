"""Two published versions of one table: does comparing them single anyone out?

`compare` looks for groups of fewer than k subjects that neither version shows and both together do, and for groups of
which both together tell a sensitive value that neither tells. It returns them; a publication that finds any is to be
refused. Findings name classes by number and never a value.

With a row identity in both versions rows are linked: who was in this class and is now in that one, who left, who came,
whose sensitive values changed. Without one an attacker has only regions and the values in them. He is taken to assume
that as little changed as possible, and to know all that follows: a record of one version may be one of the other if
their regions overlap and their values are equal (the sensitive ones, and with `rest` the others besides); over all ways
to match as many records as can be matched, what lies between the least and the most is what he knows. Found is a group
that surely has someone and surely fewer than k: those common to a class of each version, those of a class outside one
of the other, those who left or came. A group that may be all of a class is as large as that class, which its own
version shows. What more than two classes tell together is found only in so far as it follows for such a group.

Regions overlap where their quasi-identifiers are equal; for a column with `meets`, where that says so. What is too much
to be decided is a finding too. A null is a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from processors.privacy.releases.differences import CAME, CHANGED, COMMON, FOUND, LEFT, UNDECIDED, VALUE, Asked
from processors.privacy.releases.overlaps import Meets, overlaps
from processors.privacy.releases.unlinked import unlinked

PAIRS: Final = 1_000_000  # of classes that overlap

_COUNT: Final = "~n"
_REST: Final = "~rest"


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
    distinct: int | Sequence[int] = 2,
    identity: str | None = None,
    subject: str | None = None,
    rest: str | None = None,
    count: str | None = None,
    rows_of_one: int = 1,
    meets: Mapping[str, Meets] | None = None,
) -> Comparison:
    """`distinct`: how many values of each sensitive column a group has to have, where its classes have as many.

    Rows may stand for several that are equal, as many as `count` says; `rows_of_one` are how many rows of a class may
    be of one subject, where no column tells.
    """
    classes = [frame.select(quasi).unique(maintain_order=True).with_row_index("~class") for frame in (before, after)]
    rows = [
        _coded(frame, own, quasi, sensitive, rest, count) for frame, own in zip((before, after), classes, strict=True)
    ]
    values = tuple(f"~{i}" for i in range(len(sensitive)))
    enough = (distinct,) * len(values) if isinstance(distinct, int) else tuple(distinct)
    if identity is not None:
        for one, frame in zip((0, 1), (before, after), strict=True):
            rows[one] = rows[one].with_columns(frame[identity].alias("~id"), frame[subject or identity].alias("~who"))
        found = _linked(rows[0], rows[1], values, k, enough)
    else:
        least = 1 + (k - 1) * max(rows_of_one, _most_rows(rows, [before, after], subject))
        asked = Asked(least, values, enough, (*values, _REST) if rest else values)
        pairs = overlaps(classes[0], classes[1], quasi, meets or {}, PAIRS)
        told = [(UNDECIDED, None, None, 0, 0)] if pairs is None else unlinked(rows[0], rows[1], pairs, asked)
        found = pl.DataFrame(told, schema=FOUND, orient="row")
    found = found.sort("kind", "before", "after", nulls_last=True)
    first, second = (own.drop("~class") for own in classes)
    return Comparison(found, first, second, k)


def _coded(
    frame: pl.DataFrame,
    classes: pl.DataFrame,
    quasi: Sequence[str],
    sensitive: Sequence[str],
    rest: str | None,
    count: str | None,
) -> pl.DataFrame:
    """The class of each row as `~class`, its sensitive values as `~0`, `~1` and so on, and how many rows it is."""
    found = frame.join(classes, on=list(quasi), how="left", nulls_equal=True, maintain_order="left")
    return found.select(
        pl.col("~class").cast(pl.Int64),
        *(pl.col(name).alias(f"~{i}") for i, name in enumerate(sensitive)),
        *([pl.col(rest).alias(_REST)] if rest else []),
        (pl.col(count).cast(pl.Int64) if count else pl.lit(1, dtype=pl.Int64)).alias(_COUNT),
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


def _linked(
    before: pl.DataFrame, after: pl.DataFrame, new: Sequence[str], k: int, distinct: Sequence[int]
) -> pl.DataFrame:
    """Groups of rows by their classes in both versions, and by whether their values changed."""
    both = before.join(after, on="~id", how="full", suffix="'", coalesce=True)
    lost = pl.col("~class").is_null() | pl.col("~class'").is_null()
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
    wide = [
        pl.min_horizontal(pl.lit(enough), f"{name}<", f"{name}>") for name, enough in zip(new, distinct, strict=True)
    ]
    told = pl.any_horizontal(pl.lit(False), *(pl.col(name) < enough for name, enough in zip(new, wide, strict=True)))
    places = [
        pl.col("~class").alias("before"),
        pl.col("~class'").alias("after"),
        pl.col("fewest"),
        pl.col("fewest").alias("most"),
    ]
    few = groups.filter(pl.col("fewest") < k).select(named.alias("kind"), *places)  # Enforces: no group below k
    same = groups.filter(told).select(pl.lit(VALUE).alias("kind"), *places)
    return pl.concat([few, same]).select(pl.col(name).cast(dtype) for name, dtype in FOUND.items())
