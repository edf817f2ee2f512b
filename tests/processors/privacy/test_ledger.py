from __future__ import annotations

from fractions import Fraction

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.ledger import Ledger, Scope, read
from processors.privacy.noise import Answer, Cost, Question
from schemas.errors import Conflict

PEOPLE = Scope("visit", "person")
COSTS = st.builds(
    Cost.of,
    st.integers(1, 40).map(lambda n: f"{n / 10:.1f}"),
    st.sampled_from(["0", "1e-6", "0.000002"]),
)


def count(cost: Cost, subject: str | None = "person", contributions: int = 1) -> Question:
    return Question("count", cost, subject=subject, contributions=contributions)


def told(number: int) -> Answer:
    return {"count": str(number)}


@settings(max_examples=50)
@given(COSTS, st.lists(COSTS, max_size=15))
def test_what_is_spent_and_what_is_left_is_the_budget(budget: Cost, costs: list[Cost]) -> None:
    ledger, spent = Ledger({PEOPLE: budget}), Cost(Fraction(0))
    for number, cost in enumerate(costs):
        fits = spent.epsilon + cost.epsilon <= budget.epsilon and spent.delta + cost.delta <= budget.delta
        try:
            ledger, _ = ledger.ask("visit", str(number), count(cost), lambda: told(7))
        except Conflict:
            assert not fits
        else:
            assert fits
            spent += cost
        assert ledger.spent(PEOPLE) == spent
        assert ledger.left(PEOPLE) + spent == budget
        assert ledger.spent(PEOPLE).within(budget)
    again = read(orjson.loads(orjson.dumps(ledger.document())))
    assert again.document() == ledger.document()
    assert again.left(PEOPLE) == ledger.left(PEOPLE)


def test_tenths_add_up() -> None:
    ledger = Ledger({PEOPLE: Cost.of(1)})
    for number in range(10):
        ledger, _ = ledger.ask("visit", str(number), count(Cost.of(0.1)), lambda: told(1))
    assert ledger.left(PEOPLE) == Cost(Fraction(0))
    with pytest.raises(
        Conflict, match=r"visit by person: the question costs epsilon 0\.1; of the budget epsilon 0 is left"
    ):
        ledger.ask("visit", "10", count(Cost.of(0.1)), lambda: told(1))


def test_the_same_question_gets_the_same_answer_for_nothing() -> None:
    answers = iter(range(10))
    ledger = Ledger({PEOPLE: Cost.of(1)})
    asked = Question("sum", Cost.of("0.6"), subject="person", column="pay", lower=0, upper=10)
    ledger, first = ledger.ask("visit", "run-1", asked, lambda: told(next(answers)))
    again = Question("sum", Cost.of(0.6), subject="person", column="pay", lower="0.0", upper=10.0, step="1")
    for known in (ledger, read(orjson.loads(orjson.dumps(ledger.document())))):
        same, second = known.ask("visit", "run-1", again, lambda: told(next(answers)))
        assert second == first
        assert same.spent(PEOPLE) == Cost.of("0.6")
    for of, question in (("run-2", asked), ("run-1", count(Cost.of("0.6")))):
        with pytest.raises(Conflict):
            ledger.ask("visit", of, question, lambda: told(next(answers)))
    assert next(answers) == 1  # nothing was drawn but the first


def test_what_is_refused_is_not_drawn_and_changes_nothing() -> None:
    def never() -> Answer:
        raise AssertionError("drawn")

    ledger = Ledger({PEOPLE: Cost.of(1, "1e-6")})
    for question, why in (
        (count(Cost.of(2)), "epsilon 1, delta 1e-06 is left"),
        (count(Cost.of(1, "1e-5")), "costs epsilon 1, delta 1e-05"),
        (count(Cost.of("0.1"), None), "visit: the question costs"),
    ):
        with pytest.raises(Conflict, match=why):
            ledger.ask("visit", "run-1", question, never)
    with pytest.raises(Conflict):
        ledger.ask("other", "run-1", count(Cost.of("0.1")), never)
    assert ledger.told == ()


def test_each_scope_has_a_budget_of_its_own() -> None:
    records = Scope("visit")
    ledger = Ledger({PEOPLE: Cost.of(1), records: Cost.of(2)})
    ledger, _ = ledger.ask("visit", "run-1", count(Cost.of(1)), lambda: told(1))
    ledger, _ = ledger.ask("visit", "run-1", count(Cost.of("1.5"), None), lambda: told(2))
    assert (ledger.left(PEOPLE), ledger.left(records)) == (Cost.of(0), Cost.of("0.5"))
