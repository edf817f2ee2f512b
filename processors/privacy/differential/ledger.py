"""What was told with differential privacy of some people's records, and what may still be told.

Always holds: the costs of all answers add up to no more than the budget that they are taken from; sums are exact. A
question that was answered is answered again with the same words and costs nothing, so that what is emitted twice tells
nothing new. Questions that are asked together are answered all or none; a refusal changes nothing. Knows no storage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any, Final

import orjson

from processors.privacy.differential.noise import LEAST_EPSILON, Answer, Cost, Question
from schemas.errors import Conflict

NOTHING: Final = Cost(Fraction(0))
_WRITTEN_OUT: Final = 50  # categories of a question; of more there are a number and a digest
_DIGITS: Final = Decimal("0.000001")


@dataclass(frozen=True)
class Told:
    """An answer, and what was asked for it."""

    asked: Mapping[str, Any]
    cost: Cost
    answer: Answer


@dataclass(frozen=True)
class Ledger:
    """Of one budget: what was told, by what it was told of; `earlier` is the cost of further answers."""

    budget: str
    granted: Cost | None = None  # None: nobody has set a budget of this name
    told: Mapping[str, Told] = field(default_factory=dict)
    earlier: Cost = NOTHING

    @property
    def spent(self) -> Cost:
        return sum((one.cost for one in self.told.values()), self.earlier)

    @property
    def left(self) -> Cost:
        """Below nothing where the budget was lowered after it was spent."""
        return (self.granted or NOTHING) - self.spent

    def unanswered(self, questions: Mapping[str, Question]) -> list[str]:
        """What has to be drawn; raises `Conflict` with what would fit where too little is left for all of it.

        Questions go by what they ask of: a column of a table of a run.
        """
        new = [of for of in questions if of not in self.told]
        for of in questions.keys() - set(new):
            if self.told[of].asked != asked(questions[of]):
                raise Conflict(f"{of} was answered another question before; nobody may ask it twice")
        if new:
            self.afford(sum((questions[of].cost for of in new), NOTHING))
        return new

    def ask(self, questions: Mapping[str, Question], drawn: Mapping[str, Answer]) -> Ledger:
        """The ledger in which all of them are told: as they were before or, of what is new, as drawn.

        Whoever asks keeps the new ledger before an answer is told.
        """
        new = self.unanswered(questions)
        told = {of: Told(asked(questions[of]), questions[of].cost, drawn[of]) for of in new}
        return replace(self, told={**self.told, **told})

    def afford(self, cost: Cost) -> None:
        """Raises `Conflict` with what would fit where too little is left."""
        if self.granted is None or not cost.within(self.left):
            raise Conflict(self._refusal(cost))

    def _refusal(self, cost: Cost) -> str:
        name = self.budget
        if self.granted is None:
            return f"nobody has set the privacy budget {name}: metal privacy budget set {name} --epsilon {_up(cost)}"
        left = self.left
        said = (
            f"{cost} does not fit the privacy budget {name}, of which {_clipped(left)} is left; it was {self.granted}"
        )
        epsilon = min(_down(left.epsilon), _down(cost.epsilon))
        if left.delta < 0 or Fraction(epsilon) < LEAST_EPSILON:
            return f"{said}, so nothing more can be told"
        fits = f"{said}; epsilon {epsilon:f}"
        if cost.delta > left.delta:
            fits += f" with a delta of {float(left.delta):g}" if left.delta else " without a delta"
        return f"{fits} would fit"


def asked(question: Question) -> dict[str, Any]:
    """The question as JSON; equal questions are equal, however their numbers were written."""
    found: dict[str, Any] = {
        name: getattr(question, name) for name in ("kind", "subject", "contributions", "column", "by")
    }
    for name in ("lower", "upper", "step"):
        number = getattr(question, name)
        found[name] = None if number is None else format(Decimal(str(number)).normalize(), "f")
    categories: Any = list(question.categories)
    if len(categories) > _WRITTEN_OUT:
        categories = {"sha256": hashlib.sha256(orjson.dumps(categories)).hexdigest(), "length": len(categories)}
    return {**found, "categories": categories, **written(question.cost)}


def written(cost: Cost) -> dict[str, str]:
    """Exactly: `read` gives the same cost."""
    return {"epsilon": str(cost.epsilon), "delta": str(cost.delta)}


def read(epsilon: str, delta: str) -> Cost:
    return Cost(Fraction(epsilon), Fraction(delta))


def _clipped(left: Cost) -> Cost:
    return Cost(max(Fraction(0), left.epsilon), max(Fraction(0), left.delta))


def _down(number: Fraction) -> Decimal:
    """As a decimal that is not above."""
    found = Decimal(number.numerator) / Decimal(number.denominator)
    return found.quantize(_DIGITS, ROUND_FLOOR).normalize() if found >= _DIGITS else max(Decimal(0), found)


def _up(cost: Cost) -> str:
    told = f"{float(cost.epsilon):g}"
    return f"{told} --delta {float(cost.delta):g}" if cost.delta else told
