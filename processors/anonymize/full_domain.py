"""A table by the search through levels: one level for each quasi-identifier, the same for all records.

Always holds: of all combinations of levels it is the one of the least loss that keeps what is asked, or there is none
and it is said what could be kept. Texts are named as those of Mondrian's groups. Knows no option of a task.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from processors.anonymize.protocol import Formed
from processors.privacy.domains.climb import climb
from processors.privacy.domains.dimension import Dimension, Grain, encode
from processors.privacy.domains.levels import Levels
from processors.privacy.search.demands import Demands
from processors.privacy.search.lattice import search
from processors.privacy.search.unreachable import Unreachable


def generalized(
    table: pl.DataFrame,
    dimensions: Mapping[str, Dimension],
    grains: Mapping[str, Grain],
    asked: Demands,
    limit: float,
    loss: str,
    population: pl.DataFrame | None = None,
) -> Formed | Unreachable:
    """Raises `MisfitError` where there are more combinations of levels than can be looked through, or where the
    population lacks somebody of the table."""
    coded = _coded(table, dimensions)
    whole = None if population is None else _coded(population, dimensions)
    levels = _levels(dimensions, grains, coded if whole is None else pl.concat([coded, whole]))
    found = search(table.with_columns(coded.get_columns()), levels, asked, limit, loss, whole)
    if isinstance(found, Unreachable):
        return found
    texts = [one.named(one.encode(coded[name]), found.levels[name]).alias(name) for name, one in levels.items()]
    return Formed(pl.DataFrame(texts), pl.Series(found.kept), presence=found.presence)


def _coded(table: pl.DataFrame, dimensions: Mapping[str, Dimension]) -> pl.DataFrame:
    """The codes of the quasi-identifiers; null where a value is."""
    codes = zip(dimensions, encode(dimensions, table), strict=True)
    found = pl.DataFrame({name: pl.Series(code, dtype=pl.Int64) for name, code in codes})
    return found.select(pl.when(pl.col(name) != 0).then(name) for name in found.columns)


def _levels(dimensions: Mapping[str, Dimension], grains: Mapping[str, Grain], coded: pl.DataFrame) -> dict[str, Levels]:
    return {
        name: climb(one, grains.get(name, Grain()), np.sort(coded[name].unique().fill_null(0).to_numpy()))
        for name, one in dimensions.items()
    }
