"""What a certificate says of an aggregated table's groups, and what the published rows show of it.

Always holds: how many groups were withheld comes from the run's counts, how many are published and the fewest records
of one from the rows. Why a single group is withheld is never said. Knows no file and no store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from processors.privacy.certificates.stated import Stated, Text

Count = Annotated[int, Field(ge=0)]


class Withheld(Stated):
    """Groups that are not published: small themselves, or a small one could be computed from them."""

    groups: Count
    small: Count
    complementary: Count


class Groups(Stated):
    """How small groups of an aggregated table were handled.

    `publish`: they are published, which the task says; `inherit`: everything is computed from groups that may be
    published already, those of the table `of`. `subject` is absent where each record is its own. `beside` are tables
    that tell of the same records with small groups published. `counted` is the column that tells the records of each
    group, `fewest` the least of them.
    """

    small_groups: Literal["suppress", "merge", "publish", "inherit"]
    k: int | None = None
    subject: Text | None = None
    parameters: dict[str, Any] | None = None
    of: Text | None = None
    beside: list[Text] = Field(default_factory=list)
    published: Count
    withheld: Withheld | None = None
    counted: Text | None = None
    fewest: int | None = None


def withheld(counts: Mapping[str, int]) -> Withheld:
    """From the numbers that a run counted, by reason."""
    small, complementary = counts.get("small", 0), counts.get("complement", 0)
    return Withheld(groups=small + complementary, small=small, complementary=complementary)


def misses(groups: Groups, rows: int, fewest: int | None) -> Iterator[str]:
    """In words, what the published rows show to be otherwise; `fewest`: the least that `counted` has in them."""
    if rows != groups.published:
        yield f"{rows:,} groups are published, the certificate says {groups.published:,}"
    if groups.withheld is not None and groups.withheld.groups != groups.withheld.small + groups.withheld.complementary:
        yield "the groups that were withheld are others than those by reason"
    if groups.counted is None:
        return
    if fewest != groups.fewest:
        yield f"the fewest records of a group are {_told(fewest)}, the certificate says {_told(groups.fewest)}"
    if groups.k is not None and fewest is not None and fewest < groups.k:
        yield f"a group has {fewest} records; {groups.k} were requested"


def _told(number: int | None) -> str:
    return "none" if number is None else f"{number:,}"
