"""Certificates compared with rows: every way in which published rows are not what is certified.

Always holds: what rows show is measured again; of what they can't show it is looked whether it keeps what was asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from processors.privacy.certificates.certificate import guarantee
from processors.privacy.certificates.finding import Finding
from processors.privacy.certificates.stated import Stated
from processors.privacy.certificates.stated_groups import misses as group_misses
from processors.privacy.certificates.stated_presence import misses as presence_misses
from processors.privacy.certificates.statement import Guarantee, Statement
from processors.privacy.guarantees.enough import SLACK


@dataclass(frozen=True)
class Mismatch:
    """One way in which data and certificate differ."""

    kind: str  # signature, columns, rows, digest, groups, k, l, t, loss, suppression, presence or noise
    message: str


def compare(
    statement: Statement, rows: int, digest: str, findings: Sequence[Finding], fewest: int | None = None
) -> list[Mismatch]:
    """Every way in which the rows are not what is certified, or do not keep what was asked for.

    `fewest`: the least that the column has which counts the records of groups.
    """
    stated = statement.release
    found: list[Mismatch] = []
    if rows != stated.rows:
        found.append(Mismatch("rows", f"the data has {rows:,} rows, the certificate {stated.rows:,}"))
    if digest != stated.digest.value:
        found.append(Mismatch("digest", f"the rows have the digest {digest}, the certificate {stated.digest.value}"))
    if statement.noise is not None and rows != statement.noise.groups:
        said = f"the data has {rows:,} groups; noise was drawn for {statement.noise.groups:,}"
        found.append(Mismatch("noise", f"{said}, of which none may be left out"))
    if statement.groups is not None:
        found += [Mismatch("groups", message) for message in group_misses(statement.groups, rows, fewest)]
    for one, finding in zip(statement.guarantees, findings, strict=True):
        found += _compare(one, finding)
        found += [Mismatch(kind, message) for kind, message in finding.misses()]
    return found


def _compare(stated: Guarantee, finding: Finding) -> Iterator[Mismatch]:
    now = guarantee(finding)
    by = f"in classes by {', '.join(stated.quasi_identifiers)}"
    for message in presence_misses(by, stated.requested.presence, stated.reached.presence):
        yield Mismatch("presence", message)
    if now.reached.k != stated.reached.k:
        yield Mismatch("k", f"{by} k is {now.reached.k}, the certificate says {stated.reached.k}")
    for kind, said, is_now in (
        ("l", stated.reached.diversity, now.reached.diversity),
        ("t", stated.reached.closeness, now.reached.closeness),
        ("t", stated.references, now.references),
        ("loss", [stated.loss], [now.loss]),
        ("suppression", [stated.suppression], [now.suppression]),
    ):
        for one, other in zip_longest(said, is_now):
            yield from (Mismatch(kind, f"{by} {difference}") for difference in _differences(one, other))


def _differences(said: Stated | None, now: Stated | None) -> Iterator[str]:
    """In words, each member of the certificate's that is another in the data."""
    one, other = ({} if part is None else part.document() for part in (said, now))
    about = " of ".join(str(one[name]) for name in ("kind", "distance", "column") if name in one)
    for name in dict.fromkeys((*one, *other)):
        left, right = one.get(name), other.get(name)
        if not (_same(left, right) if isinstance(left, float) and isinstance(right, float) else left == right):
            what = " ".join(part for part in (name, "of" if about else "", about) if part)
            if name == "distribution":
                yield f"{what}: the values of the data are distributed otherwise"
            else:
                yield f"{what} is {_shown(right)}, the certificate says {_shown(left)}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SLACK, abs_tol=SLACK)
