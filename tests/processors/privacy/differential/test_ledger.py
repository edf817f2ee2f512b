from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.differential.ledger import NOTHING, Ledger, asked, read, written
from processors.privacy.differential.noise import Answer, Cost, Question
from schemas.errors import Conflict

COSTS = st.builds(
    Cost.of,
    st.integers(1, 40).map(lambda n: f"{n / 10:.1f}"),
    st.sampled_from(["0", "1e-6", "0.000002"]),
)


def count(cost: Cost, subject: str | None = "person", contributions: int = 1) -> Question:
    return Question("count", cost, subject=subject, contributions=contributions)


class Drawn(dict[str, Answer]):
    """Whatever is asked of, the same number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def __missing__(self, of: str) -> Answer:
        return {"count": str(self.number)}


NEVER: dict[str, Answer] = {}


@settings(max_examples=50)
@given(COSTS, st.lists(st.lists(COSTS, min_size=1, max_size=3), max_size=10), COSTS)
def test_what_is_spent_and_what_is_left_is_the_budget(budget: Cost, asks: list[list[Cost]], earlier: Cost) -> None:
    ledger, spent = Ledger("people", budget, earlier=earlier), earlier
    for number, costs in enumerate(asks):
        cost = sum(costs, NOTHING)
        fits = spent.epsilon + cost.epsilon <= budget.epsilon and spent.delta + cost.delta <= budget.delta
        questions = {f"{number}/{index}": count(one) for index, one in enumerate(costs)}
        try:
            ledger = ledger.ask(questions, Drawn(7))
        except Conflict:
            assert not fits
        else:
            assert fits
            spent += cost
        assert ledger.spent == spent
        assert ledger.left + spent == budget
        assert questions.keys() <= ledger.told.keys() or not questions.keys() & ledger.told.keys()  # all or none


@given(COSTS, st.integers(1, 7))
def test_what_is_written_is_read_as_it_was(cost: Cost, parts: int) -> None:
    part = Cost(cost.epsilon / parts, cost.delta / parts)
    assert read(**written(part)) == part
    assert sum([part] * parts, NOTHING) == cost


def test_tenths_add_up() -> None:
    ledger = Ledger("people", Cost.of(1))
    for number in range(10):
        ledger = ledger.ask({str(number): count(Cost.of(0.1))}, Drawn(1))
    assert ledger.left == NOTHING
    with pytest.raises(Conflict, match="epsilon 0 is left; it was epsilon 1, so nothing more can be told"):
        ledger.ask({"10": count(Cost.of(0.1))}, NEVER)


def test_the_same_question_gets_the_same_answer_for_nothing() -> None:
    first = Question("sum", Cost.of("0.6"), subject="person", column="pay", lower=0, upper=10)
    ledger = Ledger("people", Cost.of(1)).ask({"pay": first}, Drawn(1))
    again = Question("sum", Cost.of(0.6), subject="person", column="pay", lower="0.0", upper=10.0, step="1")
    assert ledger.ask({"pay": again}, NEVER) == ledger
    both = ledger.ask({"pay": again, "count": count(Cost.of("0.4"))}, Drawn(2))
    assert {of: one.answer for of, one in both.told.items()} == {"pay": {"count": "1"}, "count": {"count": "2"}}
    assert both.spent == Cost.of(1)


@pytest.mark.parametrize("other", [count(Cost.of("0.1")), count(Cost.of("0.2"), contributions=2)])
def test_of_the_same_nothing_else_is_asked(other: Question) -> None:
    ledger = Ledger("people", Cost.of(1)).ask({"visits": count(Cost.of("0.2"))}, Drawn(1))
    with pytest.raises(Conflict, match="visits was answered another question before"):
        ledger.ask({"visits": other}, NEVER)


def test_a_question_of_many_categories_is_told_from_others_all_the_same() -> None:
    names = tuple(f"c{n}" for n in range(1000))
    one, other = (
        asked(Question("histogram", Cost.of(1), column="city", categories=categories))
        for categories in (names, (*names[:-1], "other"))
    )
    assert one != other
    assert len(str(one)) < 500


@pytest.mark.parametrize(
    ("granted", "spent", "cost", "said"),
    [
        (
            None,
            "0",
            Cost.of(1),
            r"nobody has set the privacy budget people: metal privacy budget set people --epsilon 1$",
        ),
        (None, "0", Cost.of(1, "1e-6"), r"--epsilon 1 --delta 1e-06$"),
        (
            Cost.of(1),
            "0.7",
            Cost.of(1),
            r"^epsilon 1 does not .* people, of which epsilon 0.3 is left; it was epsilon 1; epsilon 0.3 would fit$",
        ),
        (Cost.of(1), "2", Cost.of(1), r"epsilon 0 is left; it was epsilon 1, so nothing more can be told$"),
        (Cost.of(1), "0", Cost.of("0.5", "1e-6"), r"; epsilon 0.5 without a delta would fit$"),
        (Cost.of(2, "1e-6"), "0", Cost.of("0.5", "1e-5"), r"; epsilon 0.5 with a delta of 1e-06 would fit$"),
        (Cost(Fraction(1, 3)), "0", Cost.of(1), r"; epsilon 0.333333 would fit$"),
    ],
)
def test_a_refusal_draws_nothing_and_says_what_would_fit(
    granted: Cost | None, spent: str, cost: Cost, said: str
) -> None:
    ledger = Ledger("people", granted, earlier=Cost.of(spent))
    with pytest.raises(Conflict) as error:
        ledger.ask({"visits": count(cost)}, NEVER)
    assert re.search(said, str(error.value)), error.value
    if " would fit" in said and "delta" not in said:
        fits = re.findall(r"; epsilon ([\d.]+) would", str(error.value))[0]
        ledger.ask({"visits": count(Cost.of(fits))}, Drawn(1))
