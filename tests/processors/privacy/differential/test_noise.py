"""Draws are OpenDP's own and differ each time: bounds are so wide that a sound one fails once in 10^9 times."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from processors.privacy.differential import noise
from processors.privacy.differential.noise import Cost, Question, answer
from processors.wrong_config import MisfitError

ROWS = pl.DataFrame(
    {
        "who": [n // 4 for n in range(400)],
        "pay": [float(n % 10) for n in range(400)],
        "city": [("Oslo", "Rome", None, "Nowhere")[n % 4] for n in range(400)],
    }
)
ONE = Cost.of(1)


def draws(question: Question, times: int = 400, rows: pl.DataFrame = ROWS) -> list[Decimal]:
    return [Decimal(next(iter(answer(rows, question).values()))) for _ in range(times)]


def mean(numbers: list[Decimal]) -> float:
    return float(sum(numbers)) / len(numbers)


def test_a_count_is_near_and_never_the_same() -> None:
    found = draws(Question("count", ONE))
    assert len(set(found)) > 3
    assert abs(mean(found) - 400) < 0.6  # the scale is 1: a standard error of 0.07
    assert all(one == one.to_integral_value() for one in found)
    spread = mean([abs(one - 400) for one in found])
    assert 0.5 < spread < 1.4  # of Laplace's noise the scale, a little less since it is discrete


def test_noise_grows_as_epsilon_falls() -> None:
    spread = mean([abs(one - 400) for one in draws(Question("count", Cost.of("0.01")))])
    assert 65 < spread < 140


def test_a_subject_counts_as_often_as_was_declared() -> None:
    assert abs(mean(draws(Question("count", Cost.of(20), subject="who"))) - 100) < 1
    twice = Question("count", Cost.of(20), subject="who", contributions=2)
    assert abs(mean(draws(twice)) - 200) < 1
    assert twice.most == 2


def test_a_sum_is_cut_to_its_bounds_and_told_in_steps() -> None:
    tight = Question("sum", Cost.of(40), column="pay", lower=2, upper=5, step="0.5")
    exact = sum(max(2, min(5, n % 10)) for n in range(400))
    found = draws(tight, 60)
    assert abs(mean(found) - exact) < 1
    assert all(one % Decimal("0.5") == 0 for one in found)
    assert tight.steps == (4, 10)
    assert tight.most == 10


def test_what_is_no_number_adds_nothing() -> None:
    rows = pl.DataFrame({"pay": [1.0, None, float("nan"), float("inf"), -float("inf")]})
    question = Question("sum", Cost.of(40), column="pay", lower=-7, upper=8)
    assert abs(mean(draws(question, 60, rows)) - (1 + 8 - 7)) < 1
    assert abs(mean(draws(question, 60, pl.DataFrame({"pay": pl.Series([100, -5], dtype=pl.Int8)}))) - 3) < 1


def test_a_histogram_has_the_named_categories_and_no_others() -> None:
    question = Question("histogram", Cost.of(20), column="city", categories=("Oslo", "Rome", "Bergen"))
    found = answer(ROWS, question)
    assert list(found) == ["Oslo", "Rome", "Bergen"]
    for category, exact in zip(found, (100, 100, 0), strict=True):
        assert abs(int(found[category]) - exact) < 5


def test_with_a_delta_noise_is_gaussian() -> None:
    question = Question("count", Cost.of("0.5", "1e-6"))
    found = [one - 400 for one in draws(question)]
    scale = (mean([one * one for one in found])) ** 0.5
    assert 4 < scale < 20
    assert abs(mean(found)) < 6


@pytest.mark.parametrize("cost", [Cost.of("0.3"), Cost.of("0.5", "1e-6"), Cost.of(3), Cost.of("1e-9")])
@pytest.mark.parametrize("most", [1, 7, 10**9])
def test_the_cost_that_opendp_proves_is_no_more_than_what_is_counted(cost: Cost, most: int) -> None:
    measurement = noise._measurement(most, noise._below(cost.epsilon), noise._below(cost.delta))
    told: Any = measurement.map(most)
    epsilon, delta = told if cost.delta else (told, 0)
    assert 0.99 * cost.epsilon < epsilon <= cost.epsilon
    assert delta <= cost.delta


@pytest.mark.parametrize(
    ("options", "at"),
    [
        ({"kind": "count", "cost": Cost.of(0)}, ("epsilon",)),
        ({"kind": "count", "cost": Cost.of(51)}, ("epsilon",)),
        ({"kind": "count", "cost": Cost.of(1, 1)}, ("delta",)),
        ({"kind": "count", "column": "pay"}, ("column",)),
        ({"kind": "sum", "lower": 0, "upper": 1}, ("column",)),
        ({"kind": "sum", "column": "pay"}, ("lower",)),
        ({"kind": "sum", "column": "pay", "lower": 0}, ("lower",)),
        ({"kind": "sum", "column": "pay", "lower": 2, "upper": 1}, ("lower",)),
        ({"kind": "sum", "column": "pay", "lower": "nan", "upper": 1}, ("lower",)),
        ({"kind": "sum", "column": "pay", "lower": 0, "upper": "inf"}, ("upper",)),
        ({"kind": "sum", "column": "pay", "lower": 0, "upper": 1, "step": 0}, ("step",)),
        ({"kind": "sum", "column": "pay", "lower": 0, "upper": 10**9, "step": "1e-12"}, ("step",)),
        ({"kind": "histogram", "column": "city"}, ("categories",)),
        ({"kind": "histogram", "column": "city", "categories": ("a", "a")}, ("categories",)),
        ({"kind": "count", "contributions": 0, "subject": "who"}, ("contributions",)),
        ({"kind": "count", "contributions": 2}, ("contributions",)),
    ],
)
def test_bad_bounds_are_refused(options: dict[str, Any], at: tuple[str, ...]) -> None:
    with pytest.raises(MisfitError) as error:
        Question(**{"cost": ONE, **options})
    assert error.value.at == at
    with pytest.raises(MisfitError, match="no column"):
        answer(ROWS, Question("histogram", ONE, column="none", categories=("a",)))


def test_an_empty_table_is_answered_like_any_other() -> None:
    assert abs(mean(draws(Question("count", ONE), rows=ROWS.clear()))) < 1
