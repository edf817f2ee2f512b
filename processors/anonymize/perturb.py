"""`perturb`: adds noise that keeps the mean in expectation (R-A5).

The noise of a record is the same however often the record is emitted within the run, since averages would undo it
otherwise: it is drawn from the run's key and the record's identity. Bounds are kept by reflection, so no mass piles
up at them. Whole numbers stay whole: their noise is of a discrete law. Null, NaN and infinities stay.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.discrete import whole_noise
from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.anonymize.randomness import Draw
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Column, Strict

INT64 = (-(2**63), 2**63 - 1)
DAYS = (-719_162, 2_932_896)  # of years 1 to 9999, counted from 1970
MICROSECONDS = 1_000_000
DIGITS = 10**38 - 1  # the largest decimal, without its point
FURTHEST = 10**37  # of a bound, in digits: 128 bits have to hold what reflection adds up


class Noise(Strict):
    """`relative` is a share of the value, `absolute` in its unit (days for a date, seconds for a timestamp).

    Either is the half width of uniform noise, the standard deviation of gaussian, the scale of laplace.
    """

    relative: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="The scale of the noise as a share of the value."
    )
    absolute: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="The scale in the value's unit: days for a date, seconds for a timestamp.",
    )
    distribution: Literal["uniform", "gaussian", "laplace"] = Field(
        default="uniform",
        description="How the noise is distributed around zero; that of whole numbers by the discrete law of this name.",
    )
    min: float | None = Field(
        default=None, allow_inf_nan=False, description="The least value of the column; noise is folded back at it."
    )
    max: float | None = Field(
        default=None, allow_inf_nan=False, description="The greatest value of the column; noise is folded back at it."
    )

    @model_validator(mode="after")
    def _one_scale(self) -> Noise:
        if (self.relative is None) == (self.absolute is None):
            raise MisfitError("says neither or both of relative and absolute", "give one of them")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise MisfitError("has a min that is not below its max", "swap them", ("min",))
        if math.isinf(2 * ((self.max or 0) - (self.min or 0))):
            raise MisfitError("has bounds too far apart", "leave one of them out", ("min",))
        return self


class Perturb:
    """`columns` says for each column how much noise it gets: `{salary: {relative: 0.05}}`."""

    class Config(Strict):
        columns: dict[str, Noise] = Field(min_length=1, description="Column: how much noise it gets.")

    name: ClassVar[str] = "perturb"
    types: ClassVar[frozenset[ColumnType]] = frozenset({"int64", "float64", "decimal", "date", "timestamp"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "salaries are blurred by up to five percent",
            {"salary": {"type": "float64"}},
            {"columns": {"salary": {"relative": 0.05}}},
            {"salary": (1000.0, 2500.5, None)},
        ),
        Example(
            "counts stay whole and not below zero",
            {"visits": {"type": "int64"}},
            {"columns": {"visits": {"absolute": 2, "distribution": "laplace", "min": 0}}},
            {"visits": (0, 5, None)},
        ),
        Example(
            "a day within the week before or after",
            {"seen": {"type": "date"}},
            {"columns": {"seen": {"absolute": 7}}},
            {"seen": (None,)},
        ),
        Example(
            "zero has no share to blur",
            {"salary": {"type": "float64"}},
            {"columns": {"salary": {"relative": 0.05}}},
            {"salary": (0.0, None)},
            {"salary": (0.0, None)},
        ),
    )

    def plan(self, config: Perturb.Config, columns: Columns) -> Treatment:
        found = {name: column_of(columns, name, self.types, "columns", name) for name in config.columns}
        for name, noise in config.columns.items():
            _check(noise, found[name], name)

        def treat(batch: Batch) -> list[pl.Expr | pl.Series]:
            return [
                _blurred(batch.frame[name], noise, found[name], batch.draw) for name, noise in config.columns.items()
            ]

        return Treatment({name: column.type for name, column in found.items()}, treat, reads=tuple(found))


def _check(noise: Noise, column: Column, name: str) -> None:
    if column.type in ("date", "timestamp"):
        if noise.relative is not None:
            raise MisfitError("has no share of a moment", "give absolute", ("columns", name, "relative"))
        if noise.min is not None or noise.max is not None:
            raise MisfitError("has bounds for a moment", "leave min and max out", ("columns", name))
    whole = [bound for bound in (noise.min, noise.max) if bound is not None and bound != math.floor(bound)]
    far = [bound for bound in (noise.min, noise.max) if bound and abs(bound) * 10**column.scale > FURTHEST]
    if column.type == "decimal" and far:
        raise MisfitError("has a bound out of reach", "leave it out", ("columns", name))
    if column.type == "int64" and (whole or max(noise.min or 0, -(noise.max or 0)) >= 2**63):
        raise MisfitError("has a bound that is not whole", "give whole numbers", ("columns", name))


def _unit_noise(draw: Draw, column: str, distribution: str) -> pl.Series:
    """Noise of scale 1 and mean 0."""
    first, second = draw.uniform("perturb", column)
    if distribution == "uniform":
        return 2 * first - 1
    frame = pl.DataFrame({"u": first, "v": second})
    u, v = pl.col("u"), pl.col("v")
    if distribution == "gaussian":
        return frame.select((-2 * u.log()).sqrt() * (2 * math.pi * v).cos()).to_series()
    sign = pl.when(v < 0.5).then(-1.0).otherwise(1.0)
    return frame.select(-u.log() * sign).to_series()


def _blurred(values: pl.Series, noise: Noise, column: Column, draw: Draw) -> pl.Series:
    if column.type not in ("float64", "decimal"):
        return _whole(values, noise, column.type, draw)
    frame = pl.DataFrame({"value": values, "unit": _unit_noise(draw, values.name, noise.distribution)})
    value, unit = pl.col("value"), pl.col("unit")
    if column.type == "float64":
        scale = value.abs() * noise.relative if noise.relative else pl.lit(noise.absolute)
        moved = _reflected(value + unit * scale, noise.min, noise.max, pl.Float64())
        new = pl.when(value.is_finite()).then(moved).otherwise(value)
    else:
        new = _decimal(value, unit, noise, column)
    return frame.select(new.alias(values.name)).to_series()


def _whole(values: pl.Series, noise: Noise, kind: ColumnType, draw: Draw) -> pl.Series:
    """Whole-numbered noise on integers, days or microseconds."""
    size = (noise.absolute or 0.0) * (MICROSECONDS if kind == "timestamp" else 1)
    count = pl.col("value").to_physical().cast(pl.Int128)
    scale = count.cast(pl.Float64).abs() * noise.relative if noise.relative else pl.repeat(size, pl.len())
    frame = pl.DataFrame({"value": values})
    widths = frame.select(scale.fill_null(0.0)).to_series().to_numpy()
    step = pl.Series("step", whole_noise(widths, noise.distribution, draw, values.name))
    moved = count + pl.col("step").cast(pl.Int128)
    low, high = DAYS if kind == "date" else INT64
    if kind == "timestamp":
        low, high = (days * 86_400 * MICROSECONDS for days in DAYS)
    lowest = low if noise.min is None else max(low, int(noise.min))
    highest = high if noise.max is None else min(high, int(noise.max))
    kept = _reflected(moved, lowest, highest, pl.Int128())
    new = kept.cast(pl.Int32 if kind == "date" else pl.Int64).cast(polars_type(kind))
    return frame.with_columns(step).select(new.alias(values.name)).to_series()


def _decimal(value: pl.Expr, unit: pl.Expr, noise: Noise, column: Column) -> pl.Expr:
    """Noise on the digits of a decimal, exact beside it."""
    grain = 10**column.scale
    digits = value.to_physical()
    scale = digits.cast(pl.Float64).abs() * noise.relative if noise.relative else pl.lit((noise.absolute or 0) * grain)
    step = (unit * scale).round().clip(-1e36, 1e36).cast(pl.Int128)
    low, high = (None if bound is None else round(bound * grain) for bound in (noise.min, noise.max))
    kept = _reflected(digits + step, low, high, pl.Int128()).clip(-DIGITS, DIGITS)
    return kept.reinterpret(dtype=polars_type("decimal", column.scale))


def _reflected(value: pl.Expr, low: float | None, high: float | None, dtype: pl.DataType) -> pl.Expr:
    """The value folded back at the bounds until it lies between them."""

    def number(bound: float) -> pl.Expr:
        return pl.lit(bound, dtype=dtype)

    if low is not None and high is not None:
        width = high - low
        folded = (value - number(low)) % number(2 * width) - number(width)
        value = number(low) + (number(width) - folded.abs())
    elif low is not None:
        value = number(low) + (value - number(low)).abs()
    elif high is not None:
        value = number(high) - (number(high) - value).abs()
    return value.clip(None if low is None else number(low), None if high is None else number(high))
