"""Reads rows once and says what a certificate says of them: for whoever makes one, and for whoever checks one.

The digest keeps 32 bytes of each row, on disk where they are many; measuring keeps codes of the quasi-identifiers.
It must not know where rows come from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import polars as pl

from processors.privacy.certificates.digest import RowsDigest
from processors.privacy.certificates.finding import Finding, compact, find, without_lost_subjects
from processors.privacy.guarantees.requested import Request
from processors.privacy.measured.breadth import Breadth
from schemas.columns import ColumnType, polars_type

_IN_MEMORY: Final = 1024 * 1024  # of each spool of hashes, before it goes to disk


@dataclass(frozen=True)
class Examined:
    """`findings` are in the order of the requests."""

    rows: int
    digest: str
    findings: list[Finding]
    fewest: int | None = None  # the least value of the column that counts the records of groups


@dataclass(frozen=True)
class Asked:
    """A request, how many records were suppressed for it, and how wide the groups are that its rows hold."""

    request: Request
    suppressed: int = 0
    breadths: Callable[[pl.DataFrame], Mapping[str, Breadth]] = field(default=lambda _: {})


def examine(
    pieces: Iterable[pl.DataFrame],
    columns: Mapping[str, ColumnType],
    asked: Sequence[Asked],
    counted: str | None = None,
) -> Examined:
    """The rows' count and digest, and what they reach of everything asked; `counted`: a column of whole numbers."""
    digest = RowsDigest(columns, partial(tempfile.SpooledTemporaryFile, max_size=_IN_MEMORY))
    requests = [one.request for one in asked]
    empty = pl.DataFrame(schema={name: polars_type(kind) for name, kind in columns.items()})
    kept = [compact(empty, columns, requests)]
    least: list[int] = []
    try:
        for piece in pieces:
            digest.add(piece)
            kept.append(compact(piece, columns, requests))
            least += [] if counted is None else piece[counted].drop_nulls().bottom_k(1).to_list()
        rows, hexdigest = digest.rows, digest.hexdigest()
    finally:
        digest.close()
    whole = pl.concat(kept) if requests else empty
    findings = [
        find(whole, without_lost_subjects(whole, one.request), one.suppressed, one.breadths(whole)) for one in asked
    ]
    return Examined(rows, hexdigest, findings, min(least, default=None))
