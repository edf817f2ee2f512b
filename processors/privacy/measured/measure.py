"""What a release reaches as it is published: k, l, t and what its classes cost, from the published cells alone.

Always holds: a figure is the worst of all classes, so an empty release reaches k = 0 and l = 0. A record that was
suppressed is not in the release and counts for the loss alone. Knows no method, no threshold and no raw value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from processors.privacy.guarantees import closeness, diversity
from processors.privacy.guarantees.classes import Floats, Frame, Integers, Segments, ascending, group_rows, segments_of
from processors.privacy.guarantees.closeness import Reference
from processors.privacy.measured.loss import average_class_size, discernibility


@dataclass(frozen=True)
class Sensitive:
    """How a sensitive column is measured.

    `order` has every value once where the column's type has no order of its own; `reference` stands for the whole
    release; `recursive_l` is l of recursive (c, l)-diversity, the reached number of distinct values if it is None.
    """

    column: str
    order: Sequence[Any] | None = None
    reference: Reference | None = None
    recursive_l: int | None = None


@dataclass(frozen=True)
class Reached:
    """Of one sensitive column. `recursive` is the number that c has to be above; `ordered` is None without an order."""

    distinct: int
    entropy: float
    recursive: float
    recursive_l: int
    equal: float
    ordered: float | None
    alpha: float
    beta: float
    delta: float


@dataclass(frozen=True)
class Measured:
    """Of the whole release."""

    rows: int
    suppressed: int
    classes: int
    k_rows: int
    k_subjects: int | None
    discernibility: int
    average_class_size: float
    sensitive: dict[str, Reached]

    @property
    def k(self) -> int:
        """Distinct subjects where there is a subject column, else rows."""
        return self.k_rows if self.k_subjects is None else self.k_subjects


def measure(
    frame: Frame,
    quasi_identifiers: Sequence[str],
    sensitive: Sequence[str | Sensitive] = (),
    subject: str | None = None,
    suppressed: int = 0,
) -> Measured:
    """Everything at once."""
    asked = [Sensitive(one) if isinstance(one, str) else one for one in sensitive]
    told: dict[str, Reached] = {}
    sizes: pl.Series | None = None
    for one in asked:
        segments, reference = prepared(frame, quasi_identifiers, one)
        told[one.column] = reached(segments, reference, one)
        sizes = pl.Series(segments.sizes)
        del segments  # before the next are made: they are as large as the release has classes
    subjects: pl.Series | None = None
    if sizes is None or subject is not None:
        classes = group_rows(frame, quasi_identifiers, subject)
        sizes, subjects = classes.rows, classes.subjects
    return Measured(
        rows=int(sizes.sum()),
        suppressed=suppressed,
        classes=len(sizes),
        k_rows=_least(sizes),
        k_subjects=None if subjects is None else _least(subjects),
        discernibility=discernibility(sizes, suppressed),
        average_class_size=average_class_size(sizes),
        sensitive=told,
    )


def prepared(frame: Frame, quasi_identifiers: Sequence[str], one: Sensitive) -> tuple[Segments, Integers]:
    """The column's values by class, and the reference over their domain: what `closeness` and `diversity` work on."""
    domain = None
    if one.order is not None or one.reference is not None:
        values = frame.lazy().select(pl.col(one.column).unique()).collect(engine="streaming").to_series()
        domain = _declared(values, one.order, one.reference)
    segments = segments_of(frame, quasi_identifiers, one.column, domain)
    return segments, segments.whole if one.reference is None else one.reference.over(segments.domain)


def reached(segments: Segments, reference: Integers, one: Sensitive) -> Reached:
    """The worst of all classes."""
    if not len(segments.starts):
        return Reached(0, 0.0, np.inf, one.recursive_l or 1, 0.0, None, 0.0, 0.0, 0.0)
    distinct = int(segments.distinct.min())
    least = one.recursive_l or distinct
    return Reached(
        distinct=distinct,
        entropy=float(diversity.entropy(segments).min()),
        recursive=_largest(diversity.recursive(segments, least)),
        recursive_l=least,
        equal=_largest(closeness.equal_distance(segments, reference)),
        ordered=_largest(closeness.ordered_distance(segments, reference)) if _has_order(segments, one) else None,
        alpha=_largest(diversity.largest_share(segments)),
        beta=_largest(closeness.likeness(segments, reference)),
        delta=_largest(closeness.disclosure(segments, reference)),
    )


def _declared(values: pl.Series, order: Sequence[Any] | None, reference: Reference | None) -> pl.Series:
    """The values found and those of the reference, in their order; nulls first where the order does not place them."""
    found = values if reference is None else reference.with_values(values)
    if order is None:
        return ascending(found)
    given = pl.Series(values.name, order, dtype=values.dtype)
    if given.n_unique() != len(given):
        raise ValueError(f"the order of {values.name} has a value twice")
    lacking = found.filter(~found.is_in(given.implode(), nulls_equal=True))
    if lacking.drop_nulls().len():
        raise ValueError(f"the order of {values.name} lacks {lacking.drop_nulls().len()} of its values")
    return pl.concat([lacking, given])


def _has_order(segments: Segments, one: Sensitive) -> bool:
    kind = segments.domain.dtype
    return one.order is not None or kind.is_numeric() or kind.is_temporal()


def _least(numbers: pl.Series) -> int:
    return int(numbers.min()) if len(numbers) else 0  # type: ignore[arg-type]


def _largest(numbers: Floats) -> float:
    return float(numbers.max())
