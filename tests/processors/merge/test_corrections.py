"""Corrections in the merge: what they leave is what would be there if the record had been right from the beginning."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.merge.corrections import spoken
from processors.plan import TablePlan
from processors.segments.format import Segment
from schemas.columns import POSITION, SOURCE
from tests.processors.merge.words import STRATEGIES, Outcome, Row, Word, at_once, closed, frame_of, plan_of, segment


def left(rows: list[Row], words: list[Word], telling: frozenset[int]) -> list[Row]:
    """What stands by the words, one record at a time."""
    standing = []
    for row in rows:
        spoken_of = [
            word
            for word in words
            if row.op == 0
            and word.about.content == row.content
            and not (row.source in telling and row.source == word.about.source and row.position > word.about.position)
        ]
        last = max(spoken_of, key=lambda word: (word.number, not word.withdraws), default=None)
        if last is None or not last.withdraws:
            standing.append(row)
        elif row.source in telling and row.source != last.about.source:
            standing.append(row._replace(op=1))
    return standing


records = st.fixed_dictionaries(
    {
        "id": st.integers(0, 2),
        "name": st.sampled_from([None, "5x", "5x", "6"]),
        "n": st.sampled_from([None, 1, 1]),
        "source": st.integers(0, 2),
        "op": st.sampled_from([0, 0, 0, 0, 1]),
        "which": st.one_of(st.none(), st.integers(0, 9)),  # the open letter that this record is a correction of
    }
)
histories = st.lists(st.lists(records, max_size=6), min_size=1, max_size=6)


@dataclass
class History:
    """A run as it goes: epochs of records, letters as they come, corrections of open ones."""

    plan: TablePlan
    rows: list[Row] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    open: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    known: set[tuple[int, int]] = field(default_factory=set)
    number: int = 0

    def epoch(self, told: list[dict[str, Any]]) -> Segment:
        rows: list[Row] = []
        words: list[Word] = []
        for one in told:
            row = Row(one["id"], one["name"], one["n"], one["source"], 0, 0)
            if one["which"] is None or not self.open:
                tells = one["source"] in self.plan.merge.changes
                place = len(self.rows) + len(rows) + 1
                rows.append(row._replace(position=place, op=one["op"]) if tells else row)
                continue
            letter = self.open.pop(sorted(self.open)[one["which"] % len(self.open)])
            wrong = Row(letter["id"], letter["name"], letter["n"], letter[SOURCE], letter.get(POSITION, 0))
            right = row._replace(source=wrong.source, position=wrong.position)
            self.number += 1
            rows.append(right)
            words += [Word(self.number, True, wrong), Word(self.number, False, right)]
        self.rows += rows
        self.words += words
        return segment(rows, words, self.plan)

    def arrive(self, change: Outcome) -> None:
        """As the store keeps letters: one that is known is not stored again."""
        for name, letter in change.letters().items():
            if name not in self.known:
                self.known.add(name)
                self.open[name] = letter


@settings(max_examples=60, deadline=None)
@given(histories, st.sampled_from(sorted(STRATEGIES)), st.booleans(), st.randoms(use_true_random=False))
def test_a_correction_stands_for_the_record_it_corrects(
    told: list[list[dict[str, Any]]], strategy: str, telling: bool, rng: Random
) -> None:
    plan = plan_of(strategy, telling)
    history, going = History(plan), Outcome()
    old: list[Segment] = []
    for epoch in told:
        new = history.epoch(epoch)
        step = Outcome()
        step.standing, step.counts = going.standing, going.counts
        step.play(closed([new], old, plan))
        history.arrive(step)
        old.append(new)
        whole = at_once(old, plan)
        assert (going.standing, going.numbers()) == (whole.standing, whole.numbers())
        whole.balanced(len(history.rows))
        assert whole.letters().keys() <= history.open.keys(), "what stands rejected has a letter that waits"
    stands = at_once([segment(left(history.rows, history.words, plan.merge.changes), [], plan)], plan)
    assert whole.standing == stands.standing
    pieces = [segment([row], [], plan) for row in history.rows] + [segment([], [word], plan) for word in history.words]
    rng.shuffle(pieces)
    spread, half = at_once(pieces[: len(pieces) // 2], plan), pieces[len(pieces) // 2 :]
    if half:
        spread.play(closed(half, pieces[: len(pieces) // 2], plan))
    assert (spread.standing, spread.numbers()) == (whole.standing, whole.numbers())


WRONG = Row(1, "5x", 1, 0, 0)


def corrected(
    plan: TablePlan, rows: list[Row], right: Row, wrong: Row = WRONG
) -> tuple[list[tuple[Any, ...]], Outcome]:
    """What is prepared when `right` corrects the one record among `rows` that fell."""
    old, going = [segment(rows, [], plan)], Outcome()
    going.play(closed(old, [], plan))
    ((content, _),) = going.letters()
    new = segment([right], [Word(1, True, wrong), Word(1, False, right)], plan)
    going.play(closed([new], old, plan))
    going.balanced(len(rows) + 1)
    assert all(letter == (content, 0) or letter[1] == 1 for letter in going.letters())
    return sorted(tuple(row[name] for name in plan.columns) for row in going.standing.values()), going


@pytest.mark.parametrize("telling", [False, True])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_in_every_strategy_the_correction_alone_stands(strategy: str, telling: bool) -> None:
    plan = plan_of(strategy, telling)
    for name in ("4", "6"):  # before and behind the record in the order of columns
        stands, going = corrected(plan, [WRONG], WRONG._replace(name=name))
        assert stands == [(1, name, 1)]
        assert going.numbers() == {"prepared": 1, "rejected": 1, "dropped": {}}
        stands, going = corrected(plan, [WRONG] * 3, WRONG._replace(name=name))
        assert stands == [(1, name, 1)]
        assert going.numbers() == {"prepared": 1, "rejected": 1, "merged": 2, "dropped": {}}


@pytest.mark.parametrize("telling", [False, True])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_under_another_key_the_record_is_gone_from_its_own(strategy: str, telling: bool) -> None:
    stands, going = corrected(plan_of(strategy, telling), [WRONG, WRONG], Row(7, "5", 1, 0, 0))
    assert stands == [(7, "5", 1)]
    assert going.numbers() == {"prepared": 1, "rejected": 1, "merged": 1, "dropped": {}}


def test_what_a_change_under_a_wrong_key_had_hidden_stands_again() -> None:
    earlier = Row(1, "3", 3, 0, 4)
    wrong = Row(1, "5x", 1, 0, 9)
    stands, _ = corrected(plan_of("drop_all", True), [earlier, wrong], wrong._replace(id=2, name="5"), wrong)
    assert stands == [(1, "3", 3), (2, "5", 1)]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_equal_records_of_several_sources_are_corrected_together(strategy: str) -> None:
    told = [Row(1, "5x", 1, 0, 4), Row(1, "3", 3, 1, 5), Row(1, "5x", 1, 1, 6), Row(1, "5x", 1, 2, 0)]
    for which in (0, 2, 3):
        wrong = told[which]
        stands, going = corrected(plan_of(strategy, True), told, wrong._replace(name="9"), wrong)
        assert stands == [(1, "9", 1)]
        assert going.numbers() == {"prepared": 1, "rejected": 1, "merged": 3, "dropped": {}}


@pytest.mark.parametrize("telling", [False, True])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_correction_that_corrects_nothing_falls_and_is_told_again(strategy: str, telling: bool) -> None:
    stands, going = corrected(plan_of(strategy, telling), [WRONG], WRONG)
    assert stands == []
    assert going.numbers() == {"rejected": 2, "dropped": {}}
    assert sorted(said for _, said in going.letters()) == [0, 1]


def test_a_source_that_tells_the_same_again_later_is_heard() -> None:
    plan = plan_of("prefer", True)
    wrong, again = Row(1, "5x", 1, 0, 4), Row(1, "5x", 1, 0, 8)
    old, going = [segment([wrong], [], plan)], Outcome()
    going.play(closed(old, [], plan))
    right = wrong._replace(name="5")
    old.append(segment([right], [Word(1, True, wrong), Word(1, False, right)], plan))
    going.play(closed(old[1:], old[:1], plan))
    assert [row["name"] for row in going.standing.values()] == ["5"]
    going.play(closed([segment([again], [], plan)], old, plan))
    assert going.standing == {}
    assert sorted((said, letter[POSITION]) for (_, said), letter in going.letters().items()) == [(0, 4), (1, 8)]


def test_a_letter_under_keep_all_holds_the_key_that_the_record_came_with() -> None:
    plan = plan_of("keep_all", False)
    going = at_once([segment([WRONG, WRONG._replace(name="3")], [], plan)], plan)
    ((letter),) = going.letters().values()
    assert (letter["id"], letter["name"], letter["n"]) == (1, "5x", 1)
    stands, _ = corrected(plan, [WRONG, WRONG._replace(name="3")], WRONG._replace(name="3"))
    assert stands == [(1, "3", 1)]


def test_a_frame_without_words_is_left_alone() -> None:
    assert not spoken(frame_of([WRONG], plan_of("prefer", False)))
    assert not spoken(frame_of([], plan_of("prefer", False)))
