"""What is kept of a release so that later ones can be compared with it, and that comparison.

Kept is what everybody can read in it: the multiset of published regions and sensitive values, and of all other columns
a hash. Rows are told apart by an identity where one was published: then they are linked (differencing.py). Else two
attackers are asked, one who takes records for the same whose sensitive values are equal, and one who asks besides that
all other published columns are. Of a table of totals all columns are kept (totals.py). Knows no table and no store.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

import polars as pl
from pydantic import TypeAdapter

from processors.privacy.releases.differences import (
    CAME,
    CHANGED,
    COMMON,
    FEW,
    LEFT,
    MERGED,
    OUTSIDE_AFTER,
    OUTSIDE_BEFORE,
    OVER,
    UNCOUNTED,
    UNDECIDED,
    VALUE,
)
from processors.privacy.releases.differencing import compare
from processors.privacy.releases.family_totals import crossed, subtracted
from processors.privacy.releases.overlaps import Meets
from processors.privacy.releases.regions import Naming, meets
from processors.privacy.releases.totals import Totals, compared
from schemas.columns import ColumnType

COUNT: Final = "~n"
IDENTITY: Final = "~id"  # a hash of what tells a row from all others
WHO: Final = "~who"  # a hash of the subject
REST: Final = "~rest"  # a hash of all other columns
VALUES: Final = "~values"  # of a table that was set apart: a hash of the values that a row's group has
MOVED: Final = "moved"  # rows whose group has other values than before

Scope = Literal["", "run", "task"]  # within which an identity stays the same


@dataclass(frozen=True)
class Shape:
    """How to read what was kept. `columns` are all that were published, `kinds` the types before that.

    `apart`: the sensitive column stands in a table of its own; then nothing but identity, rest and values is kept.
    `totals`: rows are groups that figures are told of; then all columns are kept.
    """

    run: str
    columns: tuple[str, ...]
    quasi_identifiers: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    k: int = 2
    distinct: tuple[int, ...] = ()
    kinds: Mapping[str, ColumnType] = field(default_factory=dict)
    hierarchies: Mapping[str, list[list[str]]] = field(default_factory=dict)
    levels: bool = False  # all values of a column went to the same level
    rows_of_one: int = 1
    identity: tuple[str, ...] = ()
    scope: Scope = ""
    apart: bool = False
    totals: Totals | None = None

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = _SHAPE.dump_python(self, mode="json")
        return found

    @staticmethod
    def read(document: Any) -> Shape:
        return _SHAPE.validate_python(document)


_SHAPE: Final = TypeAdapter(Shape)


@dataclass(frozen=True)
class Version:
    """`rows` are published rows that differ, and how many of each there are."""

    shape: Shape
    rows: pl.DataFrame

    @classmethod
    def read(cls, document: Any, content: bytes) -> Self:
        return cls(Shape.read(document), pl.read_ipc(io.BytesIO(content)))

    @property
    def content(self) -> bytes:
        kept = io.BytesIO()
        self.rows.write_ipc(kept, compression="zstd")
        return kept.getvalue()

    @property
    def height(self) -> int:
        return int(self.rows[COUNT].sum())

    @property
    def digest(self) -> str:
        """The same for the same rows, whatever their order; of another run too, unless the identity is the run's."""
        whose = self.shape.run if self.shape.scope == "run" else ""
        found = hashlib.sha256(repr([whose, *self.rows.schema]).encode())
        for piece in self.rows.sort(pl.all(), nulls_last=True).iter_slices(200_000):
            found.update(piece.write_csv(include_header=False, quote_style="non_numeric", null_value="").encode())
        return found.hexdigest()


def told(earlier: Version, later: Version) -> dict[str, int]:
    """What comparing both would tell, by its kind; empty if nothing that either alone does not."""
    one, other = earlier.shape, later.shape
    if one.totals is not None and other.totals is not None:
        return compared(earlier.rows, later.rows, one.totals, other.totals, min(one.k, other.k))
    alike = one.apart == other.apart and (one.totals is None) == (other.totals is None)
    if not alike or _lost(one, other) or _lost(other, one):
        return {UNDECIDED: 1}
    if one.apart:
        return _moved(earlier, later)
    quasi = [name for name in other.quasi_identifiers if name in one.quasi_identifiers]
    sensitive = [name for name in other.sensitive if name in one.sensitive]
    distinct = [max(_distinct(shape, name) for shape in (one, other)) for name in sensitive]
    k = min(one.k, other.k)
    if _linked(one, other):
        who = WHO if all(WHO in version.rows.columns for version in (earlier, later)) else None
        found = compare(
            earlier.rows, later.rows, quasi, sensitive, k, distinct=distinct, identity=IDENTITY, subject=who
        )
        return _counted(found.found)
    rows_of_one = max(one.rows_of_one, other.rows_of_one)
    read = {name: _meets(name, one, other) for name in quasi}
    for rest in (None, REST) if _have(REST, earlier, later) else (None,):
        labels = [*quasi, *sensitive, *([rest] if rest else [])]
        before, after = (version.rows.group_by(labels).agg(pl.col(COUNT).sum()) for version in (earlier, later))
        found = compare(
            before, after, quasi, sensitive, k,
            distinct=distinct, rest=rest, count=COUNT, rows_of_one=rows_of_one, meets=read,
        )  # fmt: skip
        if not found.safe:
            return _counted(found.found)
    return {}


def beside(later: Version, other: Version, now: Version, earlier: Sequence[Version]) -> dict[str, int]:
    """What a table of totals tells beside one of the same records that left before, by its kind.

    `now`: the other one as it would be by now; `earlier`: versions of the first, where what is `now` has left, too.
    """
    k = min(version.shape.k for version in (later, other, now, *earlier))
    one, two, three = _side(later), _side(other), _side(now)
    found = subtracted(one, two, three, k)
    for version in earlier if not found else ():
        found |= crossed((one, _side(version)), (three, two), k)
    return found


def _side(version: Version) -> tuple[pl.DataFrame, Totals]:
    return version.rows, version.shape.totals or Totals()


def _lost(one: Shape, other: Shape) -> bool:
    """Whether a region of one is a plain column of the other: then its values can't be compared."""
    beside = set(other.columns) - set(other.quasi_identifiers)
    return not beside.isdisjoint(one.quasi_identifiers)


def _linked(one: Shape, other: Shape) -> bool:
    same = one.identity == other.identity and one.scope == other.scope
    return same and (one.scope == "task" or (one.scope == "run" and one.run == other.run))


def _have(column: str, *versions: Version) -> bool:
    return all(column in version.rows.columns for version in versions)


def _distinct(shape: Shape, name: str) -> int:
    return shape.distinct[shape.sensitive.index(name)]


def _meets(name: str, one: Shape, other: Shape) -> Meets:
    return meets(*(Naming(s.kinds.get(name, "string"), s.hierarchies.get(name), s.levels) for s in (one, other)))


def _counted(found: pl.DataFrame) -> dict[str, int]:
    return dict(found["kind"].value_counts().sort("kind").rows())


def _moved(earlier: Version, later: Version) -> dict[str, int]:
    """Rows whose groups have other values than before: who is in both has one of those that both have.

    Where every row that is in both stands among the same values each time nothing is told (m-invariance: Xiao and Tao
    2007). Rows are known again by their identity, else by all that is published of them.
    """
    key: Sequence[str] = [IDENTITY] if _linked(earlier.shape, later.shape) else [REST]
    if not _have(key[0], earlier, later):
        key = []
    sides = [
        version.rows.group_by(*key, VALUES).agg(pl.col(COUNT).sum()).with_columns(pl.lit(0).alias("~"))
        for version in (earlier, later)
    ]
    both = [side.group_by("~", *key).agg(pl.col(COUNT).sum()) for side in sides]
    there = both[0].join(both[1], on=["~", *key]).select(pl.min_horizontal(COUNT, f"{COUNT}_right").sum()).item()
    same = sides[0].join(sides[1], on=["~", *key, VALUES])
    stayed = same.select(pl.min_horizontal(COUNT, f"{COUNT}_right").sum()).item()
    return {MOVED: there - stayed} if there > stayed else {}


def in_words(found: Mapping[str, int]) -> str:
    """Findings, for people."""
    told_of = (f"{count:,} {_WORDS[kind]}" for kind, count in found.items())
    return ", ".join(told_of)


def advice(found: Mapping[str, int], k: int) -> str:
    """What lets such a table leave."""
    if found.keys() & {UNCOUNTED, FEW, OVER, MERGED}:
        count = "Add a count of subjects to the table, since without one nobody knows how many changed; export" * (
            UNCOUNTED in found
        )
        return (
            f"{count or 'Export'} it when each group and total that changed has at least {k} subjects more or fewer, "
            "or tell it in larger groups or with noise"
        )
    return (
        f"Export it when at least {k} have come, left or changed wherever anyone has, or publish only records that "
        "were not exported before"
    )


_WORDS: Final = {
    LEFT: "of who left",
    CAME: "of who came",
    COMMON: "of who is in a group of both",
    CHANGED: "of whose sensitive values changed",
    OUTSIDE_AFTER: "of who is in an earlier group and outside a later one",
    OUTSIDE_BEFORE: "of who is in a later group and outside an earlier one",
    VALUE: "with too few values",
    MOVED: "records that stand among other values now",
    UNDECIDED: "that are not decided",
    FEW: "groups that changed by fewer",
    UNCOUNTED: "groups that changed by nobody knows how many",
    OVER: "totals over groups that changed by fewer",
    MERGED: "sets of groups that became others",
}
