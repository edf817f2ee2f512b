"""Levels chosen from the values of a column where none are declared, and in words which ones.

Always holds: only which values there are decides, never how often. Numbers: a step of 1, 2 or 5 times a power of ten
that makes 32 groups at most, doubled until one group is left. Dates: month, quarter, year, decade. Texts: networks
where all are addresses, first characters where all are codes of one length, else all or nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, Literal

import polars as pl

from processors.privacy.level_forms import MOST, dates, networks, numbers, prefixes
from processors.privacy.levels import Levels, distinct, levels_of, whole

GROUPS: Final = 32  # of the finest level at most
_CODE: Final = r"^[0-9A-Za-z]*[0-9][0-9A-Za-z]*$"
_ADDRESS: Final = r"^([0-9]{1,3}\.){3}[0-9]{1,3}$|^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$"


def chosen_for(column: pl.Series) -> Levels:
    """Levels of any column; `chosen` says which they are."""
    if column.dtype.is_numeric():
        return numbers(column, _steps(column))
    if column.dtype.is_temporal() and column.dtype != pl.Time:
        return dates(column)
    values = distinct(column)
    form = form_of(values) if column.dtype == pl.String else None
    if form is not None:
        return networks(column) if form == "address" else prefixes(column)
    return levels_of(values, [whole(len(values))], "all values are one group")


def form_of(texts: pl.Series) -> Literal["address", "code"] | None:
    """What all of these texts are: addresses, or codes of one length."""
    if len(texts) and texts.str.contains(_ADDRESS).all():
        return "address"
    lengths = texts.str.len_chars()
    alike = lengths.n_unique() == 1 and lengths[0] > 1 and texts.str.contains(_CODE).all()
    return "code" if alike else None


def _steps(column: pl.Series) -> list[Decimal]:
    least: Any = column.min()
    most: Any = column.max()
    extent = Decimal(0) if least is None else Decimal(str(most)) - Decimal(str(least))
    if not extent.is_finite() or extent <= 0:
        return []
    size = _finest(column, extent)
    most = MOST.scaleb(-column.dtype.scale) if isinstance(column.dtype, pl.Decimal) else MOST
    steps = []
    while size < min(extent, most):
        steps.append(size)
        size *= 2
    return steps


def _finest(column: pl.Series, extent: Decimal) -> Decimal:
    power = Decimal(10) ** ((extent / GROUPS).adjusted())
    size = next(power * one for one in (1, 2, 5, 10) if power * one * GROUPS >= extent)
    if column.dtype.is_integer():
        return max(size, Decimal(2))
    return max(size, Decimal(1).scaleb(-column.dtype.scale)) if isinstance(column.dtype, pl.Decimal) else size
