"""What was told with differential privacy of which subjects, and what may still be told.

Always holds: of each scope, a table and its subject column, the costs of all answers add up to no more than its budget;
sums are exact. A question that was answered is answered again with the same words and costs nothing, so a replayed
batch tells nothing new. A refused question changes nothing. Knows no storage: a ledger is a value, and a document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from processors.privacy.noise import Answer, Cost, Question
from schemas.errors import Conflict


@dataclass(frozen=True)
class Scope:
    """Whose budget it is: of a table, of the subjects that a column names, or of its records."""

    table: str
    subject: str | None = None

    def __str__(self) -> str:
        return self.table if self.subject is None else f"{self.table} by {self.subject}"


@dataclass(frozen=True)
class Told:
    """An answer and what it cost. `of` names the data that was asked: a run, or a window of it."""

    scope: Scope
    of: str
    question: Question
    answer: Answer


@dataclass(frozen=True)
class Ledger:
    budgets: Mapping[Scope, Cost]
    told: tuple[Told, ...] = field(default=())

    def spent(self, scope: Scope) -> Cost:
        return sum((one.question.cost for one in self.told if one.scope == scope), Cost(Fraction(0)))

    def left(self, scope: Scope) -> Cost:
        """Nothing where there is no budget."""
        return self.budgets.get(scope, Cost(Fraction(0))) - self.spent(scope)

    def ask(self, table: str, of: str, question: Question, draw: Callable[[], Answer]) -> tuple[Ledger, Answer]:
        """The answer, and the ledger that remembers it; raises `Conflict` with what is left where that is too little.

        Whoever asks keeps the new ledger before the answer is told. `draw` is called for a new question alone.
        """
        scope = Scope(table, question.subject)
        for one in self.told:
            if (one.scope, one.of, _asked(one.question)) == (scope, of, _asked(question)):
                return self, one.answer
        left = self.left(scope)
        if not question.cost.within(left):
            raise Conflict(f"{scope}: the question costs {question.cost}; of the budget {left} is left")
        answer = draw()
        return Ledger(self.budgets, (*self.told, Told(scope, of, question, answer))), answer

    def document(self) -> dict[str, Any]:
        """As JSON, exact: `read` gives the same ledger."""
        return {
            "budgets": [{**asdict(scope), **_written(cost)} for scope, cost in self.budgets.items()],
            "told": [
                {"table": one.scope.table, "of": one.of, "question": _asked(one.question), "answer": one.answer}
                for one in self.told
            ],
        }


def read(document: Mapping[str, Any]) -> Ledger:
    """A ledger from its document."""
    budgets = {Scope(one["table"], one["subject"]): _cost(one) for one in document["budgets"]}
    told = []
    for one in document["told"]:
        asked = {name: value for name, value in one["question"].items() if name not in ("epsilon", "delta")}
        asked["categories"] = tuple(asked["categories"])
        question = Question(cost=_cost(one["question"]), **asked)
        told.append(Told(Scope(one["table"], question.subject), one["of"], question, dict(one["answer"])))
    return Ledger(budgets, tuple(told))


def _written(cost: Cost) -> dict[str, str]:
    return {"epsilon": str(cost.epsilon), "delta": str(cost.delta)}


def _cost(written: Mapping[str, str]) -> Cost:
    return Cost(Fraction(written["epsilon"]), Fraction(written["delta"]))


def _asked(question: Question) -> dict[str, Any]:
    """The question as JSON; equal questions are equal, however their numbers were written."""
    numbers = {name: getattr(question, name) for name in ("lower", "upper", "step")}
    return {
        "kind": question.kind,
        "subject": question.subject,
        "contributions": question.contributions,
        "column": question.column,
        **{
            name: None if number is None else format(Decimal(str(number)).normalize(), "f")
            for name, number in numbers.items()
        },
        "categories": list(question.categories),
        **_written(question.cost),
    }
