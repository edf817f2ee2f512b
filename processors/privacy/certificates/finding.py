"""What a release reaches of one request, in the words in which a certificate states it.

Measured on the published cells alone (measure.py); what a guarantee needs beyond that, the distribution of the
sensitive values in the release, is found here too. A class without rows breaks nothing: an empty release keeps
every guarantee.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from processors.privacy.certificates.digest import text_of
from processors.privacy.guarantees.closeness import Reference, reference_of
from processors.privacy.guarantees.enough import SLACK
from processors.privacy.guarantees.requested import Closeness, Diversity, Presence, Request
from processors.privacy.measured.breadth import Breadth, breadth, published_ncp
from processors.privacy.measured.measure import Measured, Sensitive, measure
from schemas.columns import ColumnType


@dataclass(frozen=True)
class Finding:
    """`references`: of columns that closeness is asked of. `breadths`: of quasi-identifiers, for NCP. `presence`: the
    bounds that the run reached, which the cells don't show."""

    request: Request
    measured: Measured
    references: Mapping[str, Reference] = field(default_factory=dict)
    breadths: Mapping[str, Breadth] = field(default_factory=dict)
    ncp: float | None = None
    presence: Presence | None = None

    def diversity(self, asked: Diversity) -> Diversity:
        """What is reached: l or, of recursive diversity, c, infinite where a class has fewer than l values."""
        reached = self.measured.sensitive[asked.column]
        if asked.kind == "recursive":
            return Diversity(asked.column, asked.l, asked.kind, reached.recursive)
        l = float(reached.distinct) if asked.kind == "distinct" else reached.entropy  # noqa: E741
        return Diversity(asked.column, l, asked.kind)

    def closeness(self, asked: Closeness) -> Closeness:
        reached = self.measured.sensitive[asked.column]
        t = reached.equal if asked.distance == "equal" else reached.ordered
        if t is None and self.measured.rows:
            raise ValueError(f"the values of {asked.column} have no order")
        return Closeness(asked.column, t or 0.0, asked.distance, asked.order)

    def misses(self) -> Iterator[tuple[str, str]]:
        """What was requested and is not reached: k, l, t or suppression, and how far it is."""
        if not self.measured.rows:
            return
        asked, by = self.request, f"in classes by {', '.join(self.request.quasi_identifiers)}"
        if asked.k is not None and self.measured.k < asked.k:
            yield "k", f"{by} k is {self.measured.k}; {asked.k} was requested"
        for one in asked.diversity:
            now = self.diversity(one)
            if one.kind == "recursive" and one.c is not None and now.c is not None and not now.c < one.c + SLACK:
                yield (
                    "l",
                    f"{by} {one.column} needs a c above {now.c:g} for recursive l = {one.l:g}; {one.c:g} was requested",
                )
            elif one.kind != "recursive" and now.l < one.l - SLACK:
                yield "l", f"{by} {one.kind} l of {one.column} is {now.l:g}; {one.l:g} was requested"
        for close in asked.closeness:
            t = self.closeness(close).t
            if t > close.t + SLACK:
                yield "t", f"{by} t of {close.column} by {close.distance} distance is {t:g}; {close.t:g} was requested"
        share = suppressed_share(self.measured)
        if asked.suppression_limit is not None and share > asked.suppression_limit + SLACK:
            limit = asked.suppression_limit
            yield "suppression", f"{by} {share:.2%} of the records are suppressed; the limit is {limit:.2%}"


def find(
    frame: pl.DataFrame, request: Request, suppressed: int, breadths: Mapping[str, Breadth] | None = None
) -> Finding:
    """`frame` has the request's columns of every published row."""
    orders = {one.column: _order(frame[one.column], one) for one in request.closeness if one.distance == "ordered"}
    least = {one.column: math.ceil(one.l) for one in request.diversity if one.kind == "recursive"}
    sensitive = [
        Sensitive(column, order=orders.get(column), recursive_l=least.get(column)) for column in request.sensitive
    ]
    measured = measure(frame, request.quasi_identifiers, sensitive, request.subject, suppressed)
    near = dict.fromkeys(one.column for one in request.closeness) if frame.height else {}
    references = {column: reference_of(frame[column]) for column in near}
    ncp = published_ncp(frame, breadths, suppressed) if breadths else None
    return Finding(request, measured, references, breadths or {}, ncp)


def _order(values: pl.Series, asked: Closeness) -> list[Any] | None:
    """All values as they follow each other: those declared, then the others ascending. None for a type's own order."""
    kind = values.dtype
    if asked.order is None and (kind.is_numeric() or kind.is_temporal()):
        return None
    known = pl.Series(asked.order or (), dtype=pl.String).cast(pl.String if kind == pl.Categorical else kind)
    found = values.unique().drop_nulls()
    others = (found.cast(pl.String) if kind == pl.Categorical else found).sort()
    return [*known, *others.filter(~others.is_in(known.implode()))]


def breadths_of(frame: pl.DataFrame, request: Request, kinds: Mapping[str, ColumnType]) -> dict[str, Breadth]:
    """Of the request's quasi-identifiers, which were of these types before they were published."""
    names = [name for name in request.quasi_identifiers if name in kinds]
    rows, levels = request.hierarchies, request.search == "full_domain"
    return {name: breadth(kinds[name], rows.get(name), frame[name], levels) for name in names}


def suppressed_share(measured: Measured) -> float:
    """Of all records that would have been in the release."""
    whole = measured.rows + measured.suppressed
    return measured.suppressed / whole if whole else 0.0


def compact(frame: pl.DataFrame, columns: Mapping[str, ColumnType], requests: Sequence[Request]) -> pl.DataFrame:
    """The columns that the requests look at, in a form that holds many rows: texts by their codes, subjects by hash."""
    subjects = {one.subject for one in requests}
    wanted = dict.fromkeys(column for one in requests for column in one.columns)
    ordered = {one.column for request in requests for one in request.closeness if one.distance == "ordered"}
    return frame.select(_compact(frame[name], columns[name], name in subjects, name in ordered) for name in wanted)


def _compact(values: pl.Series, kind: ColumnType, subject: bool, ordered: bool) -> pl.Series:
    if kind == "decimal":
        values = values.cast(pl.Float64) if ordered else text_of(values, kind)
    if values.dtype not in (pl.String, pl.Binary):
        return values
    if subject:
        return values.hash().zip_with(values.is_not_null(), pl.Series([None], dtype=pl.UInt64))
    return (values.bin.encode("hex") if values.dtype == pl.Binary else values).cast(pl.Categorical)


def without_lost_subjects(frame: pl.DataFrame, request: Request) -> Request:
    """The request as rows can show it: where no subject is told, k counts rows."""
    told = request.subject is None or not frame.height or frame[request.subject].null_count() < frame.height
    return request if told else replace(request, subject=None)
