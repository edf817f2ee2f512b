"""Numbers and moments on a grid: codes of cells, and what an interval of cells is called.

Always holds: the lines of the grid are multiples of the step, or beginnings of calendar units; a value lies between the
lines of its cell, as their names are read. Values beyond the range have codes of their own, below and above the cells.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Final, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from processors.anonymize.text import within_years
from processors.privacy.domains.naming import ANY, encoded, named
from processors.privacy.domains.points import Codes, Ints, Marks
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Column

Floats = NDArray[np.float64]
Unit = Literal["hour", "day", "month", "quarter", "year", "decade"]
UNITS: Final[tuple[Unit, ...]] = get_args(Unit)
CELLS: Final = 100  # a grid that is not declared has no more than these
MOST_CELLS: Final = 1 << 24
BELOW: Final = 1  # the code of what lies below the first cell
INT64: Final = (-(2**63), 2**63 - 1)
EXACT: Final = Context(prec=700)  # the digits of the largest float64 and of the smallest, side by side
DIGITS: Final = 15  # which a float64 tells apart


@dataclass(frozen=True)
class Scale:
    """`cells` in a row from the one that begins at line `first`; a line is a number of steps or of units."""

    first: int
    cells: int
    place: Callable[[pl.Expr], pl.Expr]  # 0 below the cells, 1 in the first one, and so on; null only for null
    line: Callable[[int], str]  # the name of a line
    among: Callable[[int, int], str]  # the name of the cells between two lines
    inside: float  # the part of a cell that lies between its first and its last value
    unit: Unit | None = None  # of moments, what a cell is
    tree: bool = False

    @property
    def size(self) -> int:
        return self.cells + 3  # null, below, the cells, above

    def code(self, value: pl.Expr) -> pl.Expr:
        kind = pl.UInt8 if self.size <= 2**8 else pl.UInt16 if self.size <= 2**16 else pl.UInt32
        return (self.place(value) + BELOW).fill_null(0).cast(kind)

    def encode(self, values: pl.Series) -> Codes:
        return encoded(self.code, values)

    def width(self, low: Ints, high: Ints) -> Floats:
        return np.minimum((high - low) / max(1, self.cells - 1), 1.0)

    def depth(self, below: Ints, above: Ints) -> Ints:
        return np.zeros(len(below), dtype=np.int64)

    def names(self, low: Ints, high: Ints, nulls: Marks) -> pl.Series:
        return named(low, high, nulls, self._name)

    def loss(self, low: Ints, high: Ints) -> Floats:
        """Extent against whole extent; a cell of one value has none."""
        own, whole = high - low + self.inside, self.cells - 1 + self.inside
        lost = np.where((low <= BELOW) | (high > BELOW + self.cells), 1.0, own / (whole or 1.0))
        return np.where(high == 0, 0.0, lost)

    def _name(self, low: int, high: int) -> str:
        start, end = (code - BELOW - 1 + self.first for code in (low, high + 1))
        if low <= BELOW:
            return ANY if high > BELOW + self.cells else f"<{self.line(end)}"
        return f">={self.line(start)}" if high > BELOW + self.cells else self.among(start, end)


def numbers(column: Column, step: Any, least: Any, most: Any) -> Scale:
    """The grid of a column of numbers from `least` to `most`; both None if nothing is known of them."""
    low, high = (Decimal(str(one)) if one is not None else Decimal(0) for one in (least, most))
    if not low.is_finite() or not high.is_finite() or low > high:
        raise MisfitError("has bounds that are no range", "give a min that is not above max", ("min",))
    finest = max(_finest(column), _told_apart(column, low, high))
    size = _step(step, column) if step is not None else derived(EXACT.subtract(high, low), finest)
    first, last = (math.floor(EXACT.divide(one, size)) for one in (low, high))
    if last - first >= MOST_CELLS or size < finest:
        raise MisfitError(f"has {last - first + 1:,} steps from {low} to {high}", "give a larger step", ("step",))
    whole = column.type == "int64"

    def line(number: int) -> str:
        return _text(EXACT.multiply(Decimal(number), size))

    def among(start: int, end: int) -> str:
        if not whole:
            return f"{line(start)}..<{line(end)}"
        last_inside = _text(end * size - 1)
        return last_inside if last_inside == line(start) else f"{line(start)}..{last_inside}"

    place = _place(column, size, first, last - first + 1)
    return Scale(first, last - first + 1, place, line, among, 1 - 1 / float(size) if whole else 1.0)


def derived(extent: Decimal, finest: Decimal) -> Decimal:
    """The least of 1, 2 and 5 times powers of 10 that cuts the extent into CELLS cells or fewer."""
    if extent <= 0:
        return max(finest, Decimal(1))
    power = Decimal(1).scaleb(extent.adjusted() - 2)
    return max(finest, next(power * one for one in (1, 2, 5, 10, 20) if extent <= power * one * (CELLS - 1)))


def _finest(column: Column) -> Decimal:
    """The least step that the column's type has, 0 if there is none."""
    return {"int64": Decimal(1), "decimal": Decimal(1).scaleb(-column.scale)}.get(column.type, Decimal(0))


def _told_apart(column: Column, low: Decimal, high: Decimal) -> Decimal:
    """The least step whose lines are different numbers of the column's type."""
    if column.type != "float64":
        return Decimal(0)
    return Decimal(1).scaleb(max(abs(low), abs(high)).adjusted() - DIGITS + 1)


def _text(number: Decimal) -> str:
    return format(number.normalize(EXACT) if number else Decimal(0), "f")


def _step(step: Any, column: Column) -> Decimal:
    try:
        size = Decimal(str(step))
    except ArithmeticError:
        raise MisfitError("is no number", "give a positive number", ("step",)) from None
    if not size.is_finite() or size <= 0 or size >= 2**62:
        raise MisfitError("is no step", "give a positive number", ("step",))
    if column.type != "float64" and size % _finest(column):
        raise MisfitError("is too fine for the column", f"give multiples of {_finest(column):f}", ("step",))
    return size


def _place(column: Column, size: Decimal, first: int, cells: int) -> Callable[[pl.Expr], pl.Expr]:
    if column.type == "float64":
        lines = pl.Series([float(EXACT.multiply(Decimal(number), size)) for number in range(first, first + cells + 1)])
        # compared with the lines themselves, since a division would round values across them

        def found(values: pl.Series) -> pl.Series:
            places = lines.search_sorted(values, side="right").cast(pl.Int64)
            return places.set(values.is_null() | values.is_nan().fill_null(False), None)

        return lambda value: value.map_batches(found, return_dtype=pl.Int64)
    grain = int(size * 10**column.scale) if column.type == "decimal" else int(size)
    low, high = (first - 1) * grain, (first + cells) * grain
    wide = column.type == "decimal" or low < INT64[0] or high > INT64[1]
    kind = pl.Int128 if wide else pl.Int64

    def divided(value: pl.Expr) -> pl.Expr:
        digits = value.to_physical() if column.type == "decimal" else value
        inside = digits.cast(kind).clip(pl.lit(low, dtype=kind), pl.lit(high, dtype=kind))
        return (inside // pl.lit(grain, dtype=kind) - pl.lit(first - 1, dtype=kind)).cast(pl.Int64)

    return divided


def moments(kind: ColumnType, unit: Unit | None, least: Any, most: Any) -> Scale:
    """The grid of a column of dates or timestamps; a unit that is not given is the finest with CELLS cells or fewer."""
    if unit == "hour" and kind == "date":
        raise MisfitError("is finer than a date", f"give one of {', '.join(UNITS[1:])}", ("unit",))
    least, most = (one if one is not None else dt.date(1970, 1, 1) for one in (least, most))
    fitting = (one for one in UNITS[1:] if _number(most, one) - _number(least, one) < CELLS)
    chosen: Unit = unit if unit is not None else next(fitting, "decade")
    first, last = _number(least, chosen), _number(most, chosen)

    def line(number: int) -> str:
        return moment(number, chosen)

    def among(start: int, end: int) -> str:
        return line(start) if end == start + 1 else f"{line(start)}..{line(end - 1)}"

    def place(value: pl.Expr) -> pl.Expr:
        return _unit_of(within_years(value, kind), chosen).clip(first - 1, last + 1) - (first - 1)

    inside = 0.0 if chosen == "day" and kind == "date" else 1.0
    return Scale(first, last - first + 1, place, line, among, inside, chosen)


def coarser(numbers: Ints, unit: Unit, to: Unit) -> Ints:
    """The number of the longer unit that each unit lies in, counted as lines are."""
    for one in UNITS[UNITS.index(unit) : UNITS.index(to)]:
        if one == "day":
            months = numbers.astype("datetime64[D]").astype("datetime64[M]")
            numbers = months.astype(np.int64) + 1970 * 12
        else:
            numbers = numbers // {"hour": 24, "month": 3, "quarter": 4, "year": 10}[one]
    return numbers


def _number(moment: Any, unit: Unit) -> int:
    """How many units lie between the beginning of the calendar, of the epoch for days and hours, and the moment."""
    frame = pl.DataFrame({"v": [moment]})
    return int(frame.select(_unit_of(pl.col("v"), unit)).item())


def _unit_of(value: pl.Expr, unit: Unit) -> pl.Expr:
    if unit == "hour":
        return value.cast(pl.Datetime("us")).to_physical() // 3_600_000_000
    if unit == "day":
        return value.cast(pl.Date).to_physical().cast(pl.Int64)
    year = value.dt.year().cast(pl.Int64)
    if unit in ("month", "quarter"):
        months = year * 12 + value.dt.month() - 1
        return months if unit == "month" else months // 3
    return year if unit == "year" else year // 10


def moment(number: int, unit: Unit) -> str:
    """What a unit is called."""
    if unit == "hour":
        return str(np.datetime64(number, "h"))
    if unit == "day":
        return str(np.datetime64(number, "D"))
    if unit == "month":
        return f"{number // 12:04d}-{number % 12 + 1:02d}"
    if unit == "quarter":
        return f"{number // 4:04d}-Q{number % 4 + 1}"
    return f"{number:04d}" if unit == "year" else f"{number:03d}0s"
