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
from processors.privacy.domains.dimension import Dimension, Grain, dimension, encode, survey
from processors.privacy.domains.points import Codes
from processors.privacy.groups.covers import unclear
from processors.privacy.groups.guard import Sensitive
from processors.privacy.groups.mondrian import Classes, classes
from processors.privacy.groups.populated import Population, Rows, classes_among
from processors.privacy.groups.shortfall import Infeasible
from processors.privacy.guarantees.classes import ascending, codes_of
from processors.wrong_config import MisfitError

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
    population: tuple[pl.DataFrame, tuple[float, float]] | None = None,
) -> Numbered | Infeasible:
    """`grains`: of every quasi-identifier how finely it may be published. `population`: everyone who might be in the
    table, and the share of a group's people that the table has of them, at least and at most."""
    coded = {name: Coded(columns[name]) for name in (*grains, *sensitive)}
    subjects: list[Codes] = []
    unknown = 0  # records that tell no subject
    for part in parts:
        for name, one in coded.items():
            one.add(part[name])
        if subject is not None:  # equal ones have equal numbers, and records without a subject are all of one
            subjects.append(part[subject].hash().to_numpy())
            unknown += part[subject].null_count()
    known = {name: one.survey() for name, one in coded.items() if name in grains}
    if population is not None:
        known = {name: one.joined(survey(population[0][name], columns[name].type)) for name, one in known.items()}
    axes = {name: dimension(columns[name], grain, known[name]) for name, grain in grains.items()}
    codes = [coded[name].taken(one.encode) for name, one in axes.items()]
    own = None if subject is None else np.concatenate([*subjects, np.empty(0, dtype=np.uint64)])
    values = [_sensitive(name, coded[name], *asked) for name, asked in sensitive.items()]
    limits = {"suppression_limit": limit, "outliers": outliers}
    result: Classes | Infeasible
    if population is None:
        result = classes(list(axes.values()), codes, k, subject=own, sensitive=values, **limits)
    else:
        _check_names(axes)
        everyone = Population(encode(axes, population[0]), population[1])
        rows = Rows(codes, own, values)
        result = classes_among(list(axes.values()), rows, k, everyone, unknown=unknown, **limits)
    if isinstance(result, Infeasible):
        return result
    texts = zip(axes, result.names(list(axes.values())), strict=True)
    names = pl.DataFrame([text.alias(name) for name, text in texts])
    return Numbered(result.of_row, names, result.presence)


def _check_names(axes: Mapping[str, Dimension]) -> None:
    """Raises `MisfitError` where nobody could tell from a name whom it covers."""
    for name, axis in axes.items():
        if unclear(axis):
            wrong = f"{name} has values that look like names of several, of everything or of null: with |, * or null"
            raise MisfitError(wrong, f"give {name} a hierarchy, or replace them by a rule", ("quasi_identifiers", name))


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
