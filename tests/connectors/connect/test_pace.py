"""Lanes that hold epochs back while their run is behind: the queue is bounded, and nobody waits for ever."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.connect.pace import AHEAD, LONGEST, SECONDS, Pace


def test_long_epochs_wait_for_the_fourth_before() -> None:
    pace = Pace(2.0)
    for epoch in range(10, 10 + AHEAD):
        assert not pace.holds(0)
        pace.sent(epoch, 0)
    assert pace.holds(0)
    pace.closed(9)
    assert pace.holds(0)
    pace.closed(10)
    assert not pace.holds(0)


def test_short_epochs_may_be_under_way_for_some_seconds() -> None:
    pace, sent = Pace(0.1), 0
    while not pace.holds(0):
        pace.sent(sent, 0)
        sent += 1
    assert sent == round(SECONDS / 0.1)


@pytest.mark.parametrize(("length", "longest"), [(0.1, LONGEST), (1.0, LONGEST), (60.0, 120.0)])
def test_no_epoch_is_held_back_for_ever(length: float, longest: float) -> None:
    """A message that got lost on its way shows by the next one alone."""
    pace, sent = Pace(length), 0
    while not pace.holds(1_000):
        pace.sent(sent, 1_000)
        sent += 1
    assert pace.holds(1_000 + longest - 0.01)
    assert not pace.holds(1_000 + longest)
    pace.sent(sent, 1_000 + longest)
    assert pace.holds(1_000 + longest)


@given(st.integers(1, 5), st.integers(0, 2**32), st.floats(0.1, 5))
def test_lanes_never_wait_for_one_another_for_ever(lanes: int, seed: int, length: float) -> None:
    """Lanes look at the clock in any order; the run closes what all of them have ended, whenever it comes to it."""
    draw = Random(seed)
    paces, ends = [Pace(length) for _ in range(lanes)], [-1] * lanes
    most = Pace(length)._sent.maxlen or 0
    closed = moved = 0
    for clock in range(1, 401):
        for at in draw.sample(range(lanes), draw.randint(1, lanes)):
            paces[at].closed(closed - 1 if draw.random() < 0.5 else closed)
            if not paces[at].holds(0):  # the clock stands still: nobody is let go on for having waited long
                paces[at].sent(clock, 0)
                ends[at] = clock
        if draw.random() < 0.3 and min(ends) > closed:
            closed, moved = min(ends), clock
        assert all(sum(epoch > closed for epoch in pace._sent) <= most for pace in paces)
    assert moved > 200
