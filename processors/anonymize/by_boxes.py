"""A table in groups by Mondrian, read in parts: what it holds is never in memory as it was read.

Always holds: memory follows the codes of the quasi-identifiers and sensitive columns (a byte or two each) and a hash of
the subject; in how many parts a table comes makes no difference to its groups. Knows no option of a task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from processors.anonymize.coded import Coded
from processors.anonymize.protocol import Columns, Numbered
from processors.privacy.classes import ascending, codes_of
from processors.privacy.dimension import Grain, dimension
from processors.privacy.guard import Sensitive
from processors.privacy.mondrian import classes
from processors.privacy.points import Codes
from processors.privacy.shortfall import Infeasible

Asked = Mapping[str, tuple[Any, Any]]  # sensitive column: what is asked of its diversity and closeness


def numbered(
    parts: Iterable[pl.DataFrame],
    columns: Columns,
    grains: Mapping[str, Grain],
    k: int,
    sensitive: Asked,
    subject: str | None,
    limit: float,
    outliers: float,
) -> Numbered | Infeasible:
    """`grains`: of every quasi-identifier how finely it may be published."""
    coded = {name: Coded(columns[name]) for name in (*grains, *sensitive)}
    subjects: list[Codes] = []
    for part in parts:
        for name, one in coded.items():
            one.add(part[name])
        if subject is not None:  # equal ones have equal numbers, and records without a subject are all of one
            subjects.append(part[subject].hash().to_numpy())
    axes = {name: dimension(columns[name], grain, coded[name].survey()) for name, grain in grains.items()}
    result = classes(
        list(axes.values()),
        [coded[name].taken(one.encode) for name, one in axes.items()],
        k,
        subject=None if subject is None else np.concatenate([*subjects, np.empty(0, dtype=np.uint64)]),
        sensitive=[_sensitive(name, coded[name], *asked) for name, asked in sensitive.items()],
        suppression_limit=limit,
        outliers=outliers,
    )
    if isinstance(result, Infeasible):
        return result
    texts = zip(axes, result.names(list(axes.values())), strict=True)
    return Numbered(result.of_row, pl.DataFrame([text.alias(name) for name, text in texts]))


def _sensitive(name: str, coded: Coded, diversity: Any, closeness: Any) -> Sensitive:
    domain = _domain(ascending(coded.values()), closeness)

    def code(values: pl.Series) -> Codes:
        if not domain.null_count():  # then no row has the null that is asked for too
            values = values.fill_null(domain.first()) if len(domain) else values.clear()
        return codes_of(values, domain).to_numpy().astype(np.int32)

    return Sensitive(name, coded.taken(code).astype(np.int32), max(1, len(domain)), diversity, closeness)


def _domain(values: pl.Series, closeness: Any) -> pl.Series:
    """The values in the order that the ordered distance goes by."""
    declared = next((one.order for one in closeness if one.order is not None), None)
    order = whole_order(values, declared)
    if order is None:
        return values
    return pl.concat([values.filter(values.is_null()), pl.Series(order, dtype=pl.String).cast(values.dtype)])


def whole_order(values: pl.Series, declared: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The declared values, then those that were found beside them, ascending."""
    if declared is None:
        return None
    known = pl.Series(declared, dtype=pl.String).cast(values.dtype)
    found = values.drop_nulls()
    others = ascending(found.filter(~found.is_in(known.implode())))
    return (*declared, *others.cast(pl.String).to_list())
