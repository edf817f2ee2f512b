"""What a release reaches equals what dictionaries and fractions find, for any table."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.census import census
from processors.privacy.guarantees.closeness import Reference, reference_of
from processors.privacy.guarantees.enough import meets
from processors.privacy.guarantees.presence import presence
from processors.privacy.measured.measure import Sensitive, measure
from tests.processors.privacy import slow
from tests.processors.privacy.tables import QUASI_IDENTIFIERS, Rows, ascending, frame_of, tables

CLOSE = {"rel": 1e-9, "abs": 1e-9}
QUICK = settings(max_examples=40)
NAMES = st.lists(st.sampled_from([*QUASI_IDENTIFIERS, "who"]), unique=True)


@QUICK
@given(tables(), NAMES, st.integers(0, 3))
def test_classes_as_by_hand(rows: Rows, names: list[str], suppressed: int) -> None:
    told = measure(frame_of(rows), names, subject="who", suppressed=suppressed)
    groups = slow.classes(rows, names)
    assert (told.rows, told.classes, told.suppressed) == (len(rows), len(groups), suppressed)
    assert told.k_rows == slow.k(rows, names)
    assert told.k == told.k_subjects == slow.k(rows, names, "who")
    assert told.discernibility == slow.discernibility(rows, names, suppressed)
    assert told.average_class_size == pytest.approx(len(rows) / len(groups) if groups else 0)


@QUICK
@given(tables(least=1), NAMES, st.sampled_from(["s", "word", "a"]), st.integers(1, 4))
def test_diversity_as_by_hand(rows: Rows, names: list[str], sensitive: str, least: int) -> None:
    told = measure(frame_of(rows), names, [Sensitive(sensitive, recursive_l=least)]).sensitive[sensitive]
    groups = slow.classes(rows, names)
    assert told.distinct == min(slow.distinct(group, sensitive) for group in groups)
    assert told.entropy == pytest.approx(min(slow.entropy(group, sensitive) for group in groups), **CLOSE)
    ratios = [slow.recursive(group, sensitive, least) for group in groups]
    assert told.recursive == pytest.approx(max(math.inf if one is None else float(one) for one in ratios), **CLOSE)
    assert told.recursive_l == least
    shares = [max(slow.distribution(group, sensitive).values()) for group in groups]
    assert told.alpha == pytest.approx(float(max(shares)), **CLOSE)


@QUICK
@given(tables(least=1), NAMES)
def test_closeness_to_the_whole_as_by_hand(rows: Rows, names: list[str]) -> None:
    told = measure(frame_of(rows), names, ["s", "word"]).sensitive
    order = ascending({row["s"] for row in rows})
    _check_closeness(told["s"], rows, names, "s", slow.distribution(rows, "s"), order)
    _check_closeness(told["word"], rows, names, "word", slow.distribution(rows, "word"), None)


@QUICK
@given(tables(least=1), NAMES, st.permutations([None, "flu", "cold", "cough", "", "unseen"]))
def test_closeness_by_a_declared_order(rows: Rows, names: list[str], order: list[str | None]) -> None:
    told = measure(frame_of(rows), names, [Sensitive("word", order=order)]).sensitive["word"]
    _check_closeness(told, rows, names, "word", slow.distribution(rows, "word"), order)


@QUICK
@given(tables(least=1), tables(least=1), NAMES)
def test_closeness_to_a_reference(rows: Rows, others: Rows, names: list[str]) -> None:
    reference = reference_of(frame_of(others)["s"])
    told = measure(frame_of(rows), names, [Sensitive("s", reference=reference)]).sensitive["s"]
    order = ascending({row["s"] for row in (*rows, *others)})
    _check_closeness(told, rows, names, "s", slow.distribution(others, "s"), order)


@QUICK
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), min_size=1, max_size=60),
    st.lists(st.integers(-5, 55), min_size=1, max_size=60),
)
def test_closeness_over_many_values(cells: list[tuple[int, int]], known: list[int]) -> None:
    rows: Rows = [{"a": group, "s": value} for group, value in cells]
    reference = reference_of(pl.Series(known))
    told = measure(pl.DataFrame(rows), ["a"], [Sensitive("s", reference=reference)]).sensitive["s"]
    due = slow.distribution([{"s": value} for value in known], "s")
    _check_closeness(told, rows, ["a"], "s", due, sorted({*known, *(row["s"] for row in rows)}))


def _check_closeness(
    told: Any, rows: Rows, names: list[str], sensitive: str, due: slow.Distribution, order: list[Any] | None
) -> None:
    own = [slow.distribution(group, sensitive) for group in slow.classes(rows, names)]
    assert told.equal == pytest.approx(float(max(slow.equal(one, due) for one in own)), **CLOSE)
    if order is None:
        assert told.ordered is None
    else:
        assert told.ordered == pytest.approx(float(max(slow.ordered(one, due, order) for one in own)), **CLOSE)
    assert told.beta == pytest.approx(max(slow.beta(one, due) for one in own), **CLOSE)
    assert told.delta == pytest.approx(max(slow.delta(one, due) for one in own), **CLOSE)


@QUICK
@given(tables(), st.randoms())
def test_order_of_rows_does_not_matter(rows: Rows, random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    one, other = (measure(frame_of(each), QUASI_IDENTIFIERS, ["word"], "who") for each in (rows, shuffled))
    assert one == other


@QUICK
@given(tables(least=1))
def test_a_scan_is_measured_like_a_frame(rows: Rows) -> None:
    asked: list[Sensitive] = [Sensitive("word", order=["", "cold", "cough", "flu"]), Sensitive("s")]
    frame = frame_of(rows)
    assert measure(frame.lazy(), ["a"], asked, "who") == measure(frame, ["a"], asked, "who")
    assert presence(frame.lazy(), frame.lazy(), ["a"]) == (1.0, 1.0)


def test_the_example_of_li_and_others() -> None:
    """Salaries 3k to 11k, classes {3, 4, 5} and {6, 8, 11}: ordered distances 0.375 and 0.167 as they publish them."""
    salaries = [3, 4, 5, 6, 11, 8, 7, 9, 10]
    frame = pl.DataFrame({"class": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "salary": [s * 1000 for s in salaries]})
    whole = reference_of(frame["salary"])
    own = {
        name: measure(part, ["class"], [Sensitive("salary", reference=whole)]).sensitive["salary"].ordered
        for (name,), part in frame.partition_by("class", as_dict=True).items()
    }
    assert own["a"] == pytest.approx(0.375)
    assert own["b"] == pytest.approx(1 / 6)


def test_an_empty_release_reaches_nothing() -> None:
    told = measure(frame_of([]), ["a"], ["s"], "who", suppressed=2)
    assert (told.k, told.classes, told.discernibility) == (0, 0, 4)
    assert (told.sensitive["s"].distinct, told.sensitive["s"].recursive) == (0, math.inf)


def test_names_of_columns_clash_with_nothing() -> None:
    frame = pl.DataFrame({"_rows": [1, 1, 2], "q0": [1, 1, 2], "v": [1, 2, 3], "c": [1, 1, 1], "s": [5, 5, 5]})
    told = measure(frame, ["_rows", "q0", "c"], ["v", "s", "c"], subject="s")
    assert (told.k_rows, told.k, told.classes) == (1, 1, 2)
    assert {name: one.distinct for name, one in told.sensitive.items()} == {"v": 1, "s": 1, "c": 1}


@pytest.mark.parametrize(
    ("one", "wrong"),
    [
        (Sensitive("word", order=["flu", "flu", "cold"]), "twice"),
        (Sensitive("word", order=["flu"]), "lacks 1"),
        (Sensitive("word", order=["flu", "cold"], reference=Reference(pl.Series(["x"]), pl.Series([1]))), "lacks 1"),
        (Sensitive("word", recursive_l=-1), "at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(one: Sensitive, wrong: str) -> None:
    frame = pl.DataFrame({"a": ["x", "x"], "word": ["flu", "cold"]})
    with pytest.raises(ValueError, match=wrong):
        measure(frame, ["a"], [one])


@pytest.mark.parametrize(
    ("values", "counts", "wrong"),
    [(["x", "x"], [1, 1], "once"), (["x"], [0], "not all"), (["x"], [-1], "0 and more"), ([], [], "0 and more")],
)
def test_a_reference_has_every_value_once(values: list[str], counts: list[int], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Reference(pl.Series(values, dtype=pl.String), pl.Series(counts, dtype=pl.Int64))


@QUICK
@given(st.integers(1, 60), st.integers(1, 5))
def test_equally_frequent_values_meet_their_number(values: int, times: int) -> None:
    frame = pl.DataFrame({"s": list(range(values)) * times})
    reached = measure(frame, [], ["s"]).sensitive["s"].entropy
    assert meets(reached, values)
    assert not meets(reached, values + 0.001)


def test_input_is_left_as_it_was() -> None:
    frame = pl.DataFrame(census(500))
    copy = frame.clone()
    measure(frame, ["sex", "age"], ["occupation"])
    assert frame.equals(copy)
