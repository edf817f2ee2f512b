"""Levels of numbers, dates, addresses, postal codes and places, each coarser one a union of groups of the finer.

Always holds: groups lie on a declared grid, so none tells a value's exact bounds; where values have an extent, NCP is
the group's against that of all values, else the share of the distinct values below it. Unless `top` is False, the last
level is one group of all. Knows no table and no guarantee.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, Final, Literal, get_args

import numpy as np
import polars as pl

from processors.anonymize.geohash import cell
from processors.anonymize.grid import Grid
from processors.privacy.levels import Codes, Floats, Levels, distinct, levels_of, whole
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Column

Unit = Literal["minute", "hour", "day", "week", "month", "quarter", "year", "decade"]
UNITS: Final[tuple[str, ...]] = get_args(Unit)
MOST: Final = Decimal(10) ** 37  # what a step is below
WIDEST: Final = 10**15  # times a step, and the next is too far from it to be counted in it
NETWORKS: Final = ((24, 64), (16, 48), (8, 32))
GEOHASH: Final = (7, 6, 5, 4, 3, 2, 1)
_LENGTHS: Final = dict(zip(UNITS, ("1m", "1h", "1d", "1w", "1mo", "1q", "1y", "10y"), strict=True))
_NAMES: Final = {
    "minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m",
    "year": "%Y", "decade": "%Ys",
}  # fmt: skip
_ONE: Final = "all values are one group"


def numbers(column: pl.Series, steps: Sequence[int | float | str | Decimal], top: bool = True) -> Levels:
    """Intervals whose bounds are multiples of each step; every step is a multiple of the one before."""
    sizes = [_size(step) for step in steps]
    for fine, coarse in pairwise(sizes):
        if coarse <= fine or coarse > fine * WIDEST or coarse % fine:
            above = fine * min(max(2, int(coarse / fine + Decimal("0.5"))), WIDEST)
            raise MisfitError(f"has a step of {coarse:f} after {fine:f}", f"give a multiple, as {above:f}", ("steps",))
    values = distinct(column)
    extent = _extent(values)
    first = _starts(values, sizes[0]) if sizes else np.zeros(len(values), dtype=np.int64)
    names = [_intervals(first // int(size / sizes[0]), size) for size in sizes]
    shares = [np.full(len(values), min(1.0, float(size) / extent) if extent else 1.0) for size in sizes]
    told = ", ".join(f"{size:f}" for size in sizes)
    return _levels(values, names, shares, top, f"intervals of {told}" if told else _ONE)


def dates(column: pl.Series, units: Sequence[str] = ("month", "quarter", "year", "decade"), top: bool = True) -> Levels:
    """Calendar units, from fine to coarse; weeks do not nest in what is longer."""
    for fine, coarse in pairwise(units):
        if UNITS.index(fine) >= UNITS.index(coarse):
            raise MisfitError(f"has {coarse} after {fine}", f"give them in the order {', '.join(UNITS)}", ("units",))
        if fine == "week":
            raise MisfitError(f"has weeks, which do not nest in a {coarse}", "leave one of them out", ("units",))
    kind: ColumnType = "date" if column.dtype == pl.Date else "timestamp"
    values = distinct(column)
    extent = _extent(values.cast(pl.Datetime("us")).to_physical())
    names, shares = [], []
    for unit in units:
        grid = Grid.model_validate({"unit": unit})
        start = values.alias("v").to_frame().select(grid.group(pl.col("v"), Column(type=kind))).to_series()
        length = (start.dt.offset_by(_LENGTHS[unit]) - start).dt.total_microseconds().fill_null(0).to_numpy()
        names.append(_calendar(start, unit))
        shares.append(np.minimum(1.0, length / extent) if extent else np.ones(len(values)))
    return _levels(values, names, shares, top, f"calendar units: {', '.join(units)}" if units else _ONE)


def networks(column: pl.Series, bits: Sequence[tuple[int, int]] = NETWORKS, top: bool = True) -> Levels:
    """Networks of addresses, by the bits that remain of IPv4 and IPv6; what is no address is in a group of its own."""
    for (four, six), (fewer4, fewer6) in pairwise(bits):
        if fewer4 > four or fewer6 > six:
            raise MisfitError(f"has /{fewer4} and /{fewer6} after /{four} and /{six}", "give fewer bits", ("bits",))
    values = distinct(column)
    frame, text = values.alias("v").to_frame(), Column(type="string")
    grids = [Grid(prefix=four, prefix6=six) for four, six in bits]
    names = [frame.select(grid.group(pl.col("v"), text)).to_series() for grid in grids]
    told = ", ".join(f"/{four} and /{six}" for four, six in bits)
    return _levels(values, names, None, top, f"networks of IPv4 and IPv6: {told}" if told else _ONE)


def prefixes(column: pl.Series, keep: Sequence[int] | None = None, top: bool = True) -> Levels:
    """First characters, the others cut from the right: postal codes and geohashes. By default one fewer each level."""
    values = distinct(column)
    longest: Any = values.str.len_chars().max()
    lengths = list(range((longest or 1) - 1, 0, -1)) if keep is None else list(keep)
    if any(one < 1 for one in lengths) or any(fine <= coarse for fine, coarse in pairwise(lengths)):
        raise MisfitError(f"keeps {', '.join(map(str, lengths))}", "keep fewer on each level, 1 at least", ("keep",))
    cut = [_cut(values, one) for one in lengths]
    told = ", ".join(map(str, lengths))
    return _levels(values, cut, None, top, f"first characters: {told}" if told else _ONE)


def places(column: pl.Series, keep: Sequence[int] = GEOHASH, top: bool = True) -> Levels:
    """Places written as latitude and longitude, `52.52,13.4`, or as a geohash: by the first characters of that."""
    if not keep or keep[0] > 12 or keep[-1] < 1 or any(fine <= coarse for fine, coarse in pairwise(keep)):
        raise MisfitError(f"keeps {', '.join(map(str, keep))}", "keep fewer on each level, from 12 to 1", ("keep",))
    values = distinct(column)
    frame = values.alias("v").to_frame()
    names = [frame.select(cell(pl.col("v"), one)).to_series() for one in keep]
    wrong = values.filter(names[0].is_null())
    if len(wrong):
        raise MisfitError(f"has {wrong[0]!r}, which is no place", "give latitude,longitude in degrees, or a geohash")
    return _levels(values, names, None, top, f"geohash, first characters: {', '.join(map(str, keep))}")


def _levels(values: pl.Series, names: list[pl.Series], shares: list[Floats] | None, top: bool, chosen: str) -> Levels:
    if top:
        names = [*names, whole(len(values))]
        shares = None if shares is None else [*shares, np.ones(len(values))]
    return levels_of(values, names, chosen, shares)


def _cut(values: pl.Series, keep: int) -> pl.Series:
    longer = values.str.len_chars() > keep
    return (values.str.head(keep) + "*").zip_with(longer, values)


def _extent(values: pl.Series) -> float:
    least: Any = values.min()
    most: Any = values.max()
    return float(most - least) if len(values) else 0.0


def _size(step: int | float | str | Decimal) -> Decimal:
    try:
        size = Decimal(str(step))
    except InvalidOperation:
        size = Decimal("NaN")
    if not size.is_finite() or not 0 < size < MOST:
        raise MisfitError(f"has a step of {step}", f"give numbers above 0 and below {MOST:.0e}", ("steps",))
    return size


def _starts(values: pl.Series, size: Decimal) -> Codes:
    """How many steps from 0 each value's interval begins."""
    if values.dtype.is_float():
        return _float_starts(values.cast(pl.Float64).to_numpy(), size)
    scale = values.dtype.scale if isinstance(values.dtype, pl.Decimal) else 0
    grain = size.scaleb(scale)
    if grain != grain.to_integral_value() or grain > 10 * MOST:
        raise MisfitError(
            f"has a step of {size:f}, which values of this type don't have", "give a multiple of their unit", ("steps",)
        )
    digits = (values.to_physical() if scale else values).cast(pl.Int128)
    starts: Codes = (digits // int(grain)).cast(pl.Int64).to_numpy()
    return starts


def _float_starts(values: Floats, size: Decimal) -> Codes:
    if not np.isfinite(values).all():
        raise MisfitError("has values that are no finite number", "replace them with null", ("steps",))
    numerator, denominator = (float(one) for one in size.as_integer_ratio())
    first = np.floor(values / float(size))
    # a division rounds values across lines, so they are compared with the lines as they are written
    first += (first + 1) * numerator / denominator <= values
    first -= first * numerator / denominator > values
    if (np.abs(first) >= 2**53).any():
        raise MisfitError(f"has a step of {size:f}, too fine for the values", "give a larger one", ("steps",))
    return first.astype(np.int64)


def _intervals(starts: Codes, size: Decimal) -> pl.Series:
    each, own = np.unique(starts, return_inverse=True)
    bounds = [(size * one, size * (one + 1)) for one in each.tolist()]
    return pl.Series([f"[{low:f}, {high:f})" for low, high in bounds], dtype=pl.String).gather(own)


def _calendar(start: pl.Series, unit: str) -> pl.Series:
    if unit != "quarter":
        return start.dt.strftime(_NAMES[unit])
    return start.dt.strftime("%Y-Q") + start.dt.quarter().cast(pl.String)
