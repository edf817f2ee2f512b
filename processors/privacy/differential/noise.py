"""Counts, sums and histograms with differential privacy: every bound is declared, every draw is OpenDP's.

Protected is a subject with all its records, of which the first few count; without a subject column each record is
one. Sums are of whole multiples of a step, so noise is discrete: Laplace's for epsilon alone, Gauss's where there is a
delta. Nothing is learned from the data but the answer: values beyond their bounds are cut to them, categories are those
that were named, and not those found.

This is the one core whose outcome is no function of its input: OpenDP draws from the system's own generator, and no
seed exists. What was answered once is therefore kept and told again (`ledger`): a replayed batch that drew anew would
let the noise be averaged away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from fractions import Fraction
from functools import cache
from typing import Any, Final, Literal

import polars as pl

from processors.wrong_config import MisfitError

Number = int | float | str | Decimal
_LARGEST: Final = 2**62  # of a sum in steps, and of what one subject may add to it
_SCALES: Final = (2.0**-10, 2.0**40)
_FINE: Final = 1.001  # how near to the least scale is near enough
_ROUNDING: Final = 1 + 2.0**-40  # more than what multiplying may lose
LEAST_EPSILON: Final = Fraction(1, 10**9)  # below, nothing is told
MOST_EPSILON: Final = 50  # beyond, nothing is protected


@dataclass(frozen=True)
class Cost:
    """What a release may tell of a subject. Exact: what is added up comes out even."""

    epsilon: Fraction
    delta: Fraction = Fraction(0)

    @staticmethod
    def of(epsilon: Number, delta: Number = 0) -> Cost:
        """From numbers as people write them: 0.1 is a tenth."""
        return Cost(_exact(epsilon, "epsilon"), _exact(delta, "delta"))

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.epsilon + other.epsilon, self.delta + other.delta)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.epsilon - other.epsilon, self.delta - other.delta)

    def within(self, other: Cost) -> bool:
        return self.epsilon <= other.epsilon and self.delta <= other.delta

    def __str__(self) -> str:
        told = f"epsilon {float(self.epsilon):g}"
        return f"{told}, delta {float(self.delta):g}" if self.delta else told


@dataclass(frozen=True)
class Question:
    """What is asked of a table. `subject` has at most `contributions` records of each subject looked at.

    A sum needs `column`, `lower` and `upper`, and is told in multiples of `step`; with `by` and `categories` there is
    one for each category. A histogram needs `column` and `categories`, texts. Null and what is not among the categories
    is counted nowhere.
    """

    kind: Literal["count", "sum", "histogram"]
    cost: Cost
    subject: str | None = None
    contributions: int = 1
    column: str | None = None
    lower: Number | None = None
    upper: Number | None = None
    step: Number = 1
    by: str | None = None
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not LEAST_EPSILON <= self.cost.epsilon <= MOST_EPSILON:
            raise MisfitError("tells nothing or protects nothing", f"give 1e-9 to {MOST_EPSILON}", ("epsilon",))
        if not 0 <= self.cost.delta < 1:
            raise MisfitError("is no probability", "give a delta of 0, or far below 1 / records", ("delta",))
        if self.contributions < 1 or (self.subject is None and self.contributions > 1):
            right = "give 1 or more, and more than 1 only with a subject column"
            raise MisfitError("is no number of records of a subject", right, ("contributions",))
        if (self.column is None) != (self.kind == "count"):
            raise MisfitError("is missing or too much", "name it for sums and histograms alone", ("column",))
        if self.kind == "sum":
            self._check_bounds()
        if (self.by is not None) > (self.kind == "sum"):
            raise MisfitError("is too much", "name it for sums alone; a histogram counts by its column", ("by",))
        if self.category is None:
            return
        if not self.categories or len(set(self.categories)) != len(self.categories):
            raise MisfitError("is empty or names one twice", "name every category once", ("categories",))

    def _check_bounds(self) -> None:
        if self.lower is None or self.upper is None:
            raise MisfitError("has no bounds", "declare lower and upper; they must not come from the data", ("lower",))
        lower, upper, step = (
            _exact(one, name) for one, name in zip((self.lower, self.upper, self.step), _NAMES, strict=True)
        )
        if lower > upper:
            raise MisfitError("is above upper", "give bounds that hold a value", ("lower",))
        if step <= 0:
            raise MisfitError("is no step", "give a positive number", ("step",))
        if self.most >= _LARGEST:
            raise MisfitError("is too fine for these bounds", "give a larger step or closer bounds", ("step",))

    @property
    def category(self) -> str | None:
        """The column whose named values are told apart, if any are."""
        return self.column if self.kind == "histogram" else self.by

    @property
    def steps(self) -> tuple[int, int]:
        """The bounds of a sum's records, in steps."""
        step = _decimal(self.step)
        low = (_decimal(self.lower or 0) / step).to_integral_value(ROUND_FLOOR)
        return int(low), int((_decimal(self.upper or 0) / step).to_integral_value(ROUND_CEILING))

    @property
    def most(self) -> int:
        """How much one subject changes the answer by, at most."""
        widest = max(map(abs, self.steps)) if self.kind == "sum" else 1
        return max(1, widest) * self.contributions


_NAMES: Final = ("lower", "upper", "step")
_CATEGORY: Final = "~category"
Answer = dict[str, str]  # what was told: the number, or each category's; as text, for it may be larger than JSON's


def answer(frame: pl.DataFrame, question: Question) -> Answer:
    """A draw of the answer. Each call is a new one, and costs what the question says."""
    for name in (question.subject, question.column, question.by):
        if name is not None and name not in frame.columns:
            raise MisfitError(f"{name} is no column", f"columns are {', '.join(frame.columns)}")
    bounded = _bounded(frame, question)
    if question.kind == "histogram":
        counts = dict(_by(bounded, question).agg(pl.len()).rows())
    elif question.kind == "count":
        counts = {"count": bounded.height}
    elif question.by is None:
        counts = {"sum": bounded.select(_sums(_steps(bounded, question))).item()}
    else:
        counts = dict(_by(bounded, question).agg(_sums(_steps(bounded, question))).rows())
    asked = question.categories or tuple(counts)
    told = _noisy([counts.get(one, 0) for one in asked], question)
    step = _decimal(question.step) if question.kind == "sum" else Decimal(1)
    return {one: format(number * step, "f") for one, number in zip(asked, told, strict=True)}


def _bounded(frame: pl.DataFrame, question: Question) -> pl.DataFrame:
    if question.subject is None:
        return frame
    # Enforces: of a subject so many records at most; which ones depends on no other subject
    return frame.filter(pl.int_range(pl.len()).over(question.subject) < question.contributions)


def _by(bounded: pl.DataFrame, question: Question) -> Any:
    """The rows of the named categories, in their groups."""
    category = pl.col(question.category or "").cast(pl.String)
    named = pl.Series(question.categories, dtype=pl.String)
    return bounded.with_columns(category.alias(_CATEGORY)).filter(pl.col(_CATEGORY).is_in(named)).group_by(_CATEGORY)


def _steps(rows: pl.DataFrame, question: Question) -> pl.Expr:
    """Each record's value in whole steps, cut to the bounds; null where it is none."""
    low, high = question.steps
    name, step = question.column or "", _decimal(question.step)
    if rows.schema[name].is_integer() and step == 1:
        whole = pl.col(name).cast(pl.Int128)
    else:
        numbers = pl.col(name).cast(pl.Float64).fill_nan(None) / float(step)
        whole = numbers.round().clip(low, high).cast(pl.Int128)
    # Enforces: no record adds more than its bounds say; a float may be a little beyond them
    return whole.clip(low, high)


def _sums(steps: pl.Expr) -> pl.Expr:
    return steps.sum().clip(-_LARGEST, _LARGEST)


def _noisy(numbers: Sequence[int], question: Question) -> list[int]:
    measurement = _measurement(question.most, _below(question.cost.epsilon), _below(question.cost.delta))
    return [int(one) for one in measurement(list(numbers))]


@cache
def _measurement(most: int, epsilon: float, delta: float) -> Any:
    """With the scale that keeps the cost, as OpenDP's own map proves it."""
    return _made(most * _scale(epsilon, delta), delta)


@cache
def _scale(epsilon: float, delta: float) -> float:
    """For a subject that changes the answer by 1: the least, to a thousandth more; it grows as the change does."""

    def holds(scale: float) -> bool:
        told = _made(scale, delta).map(1)
        return bool(told[0] <= epsilon if delta else told <= epsilon)

    low, high = _SCALES
    while high > low * _FINE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high * _ROUNDING


@cache
def _made(scale: float, delta: float) -> Any:
    import opendp.prelude as dp  # when it is needed: it is heavy, and few tasks ask for noise

    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    if not delta:
        return dp.m.make_laplace(domain, dp.l1_distance(T="i64"), scale=scale)
    gauss = dp.m.make_gaussian(domain, dp.l2_distance(T="i64"), scale=scale)
    return dp.c.make_fix_delta(dp.c.make_zCDP_to_approxDP(gauss), delta)


def _below(number: Fraction) -> float:
    """The largest float that is not above: what is drawn costs no more than what is counted."""
    found = float(number)
    return found if Fraction(found) <= number else math.nextafter(found, 0.0)


def _decimal(number: Number) -> Decimal:
    return Decimal(str(number))


def _exact(number: Number, name: str) -> Fraction:
    try:
        return Fraction(_decimal(number))
    except (InvalidOperation, ValueError, OverflowError):
        raise MisfitError(f"{number!r} is no number", "give a finite number", (name,)) from None
