"""Figures: a measured number of each run, their median, and the target it stands beside."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Target:
    """What issue and docs promise at full scale, on two cores."""

    sign: Literal["<=", ">="]
    number: float

    def met(self, value: float) -> bool:
        return value <= self.number if self.sign == "<=" else value >= self.number

    def __str__(self) -> str:
        return f"{self.sign} {self.number:,g}" if self.number < 1e6 else f"{self.sign} {self.number:,.0f}"


@dataclass(frozen=True)
class Figure:
    """`what` says in words what was measured; the value is the median of the runs."""

    what: str
    unit: str
    runs: Sequence[float]
    target: Target | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.runs)

    def document(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "what": self.what,
            "value": rounded(self.value),
            "unit": self.unit,
            "runs": [rounded(one) for one in self.runs],
        }
        if self.target is not None:
            told |= {"target": str(self.target), "met": self.target.met(self.value)}
        return told


@dataclass
class Outcome:
    """What a scenario measured: figures by name, and everything else worth keeping."""

    figures: dict[str, Figure] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def rounded(value: float) -> float:
    """Four digits that count; whole numbers as they are."""
    if float(value).is_integer() or abs(value) >= 10_000:
        return round(value)
    return float(f"{value:.4g}")
