"""What a guarantee would cost before it is switched on: the risk of a sample and its utility, for a list of k.

Forming classes is handed in; measured is what it publishes, as a certificate would. Risks are those of El Emam: of a
prosecutor, who knows that a person is in the release, one in the smallest class; of a journalist, who knows it of
nobody, and of a marketer, who takes as many as possible, with classes as large as they are in the population if the
sample is a fair one. Knows no method, no file and no randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from processors.privacy.guarantees.classes import group_rows
from processors.privacy.measured.breadth import Breadth, published_ncp
from processors.privacy.measured.loss import average_class_size, discernibility
from schemas.errors import Fatal

Form = Callable[[int], pl.DataFrame]  # the records that stay, as published; `Fatal` if this k can't be kept


@dataclass(frozen=True)
class Point:
    """One k. Where classes can't be formed `refused` says why, and everything is suppressed."""

    k: int
    refused: str | None
    reached: int
    classes: int
    prosecutor: float
    journalist: float
    marketer: float
    ncp: float | None
    discernibility: int
    average_class_size: float
    suppressed: int
    suppressed_share: float


def preview(
    rows: int,
    quasi_identifiers: Sequence[str],
    ks: Sequence[int],
    form: Form,
    breadths: Callable[[pl.DataFrame], Mapping[str, Breadth]],
    subject: str | None = None,
    population: int | None = None,
) -> list[Point]:
    """A point for each k. `rows` is the size of the sample; `population` that of the whole it was drawn from."""
    larger = max(1.0, (population or rows) / rows) if rows else 1.0
    return [_point(k, rows, larger, quasi_identifiers, form, breadths, subject) for k in ks]


def document(points: Sequence[Point], **about: Any) -> dict[str, Any]:
    """The curve as data."""
    return {**about, "points": [{n: v for n, v in asdict(one).items() if n != "refused" or v} for one in points]}


def _point(
    k: int,
    rows: int,
    larger: float,
    quasi_identifiers: Sequence[str],
    form: Form,
    breadths: Callable[[pl.DataFrame], Mapping[str, Breadth]],
    subject: str | None,
) -> Point:
    try:
        published, refused = form(k), None
    except Fatal as error:
        published, refused = None, str(error)
    if published is None or not published.height:
        return Point(k, refused, 0, 0, 0.0, 0.0, 0.0, 1.0, rows * rows, 0.0, rows, 1.0 if rows else 0.0)
    classes = group_rows(published, quasi_identifiers, subject)
    counted, groups = classes.rows if classes.subjects is None else classes.subjects, len(classes.rows)
    least, left = int(counted.min()), rows - published.height  # type: ignore[arg-type]  # there is a class
    return Point(
        k=k,
        refused=refused,
        reached=least,
        classes=groups,
        prosecutor=1 / least,
        journalist=1 / (least * larger),
        marketer=groups / (int(counted.sum()) * larger),
        ncp=published_ncp(published, breadths(published), left),
        discernibility=discernibility(classes.rows, left),
        average_class_size=average_class_size(classes.rows),
        suppressed=left,
        suppressed_share=left / rows,
    )
