"""Lanes that hold epochs back while their run is behind: the queue is bounded, and nobody waits for ever."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from connectors.connect.pace import AHEAD, SECONDS, Pace


def test_long_epochs_wait_for_the_fourth_before() -> None:
    pace = Pace(2.0)
    for epoch in range(10, 10 + AHEAD):
        assert not pace.behind
        pace.sent(epoch)
    assert pace.behind
    pace.closed(9)
    assert pace.behind
    pace.closed(10)
    assert not pace.behind


def test_short_epochs_may_be_under_way_for_some_seconds() -> None:
    pace, sent = Pace(0.1), 0
    while not pace.behind:
        pace.sent(sent)
        sent += 1
    assert sent == round(SECONDS / 0.1)


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
            if not paces[at].behind:
                paces[at].sent(clock)
                ends[at] = clock
        if draw.random() < 0.3 and min(ends) > closed:
            closed, moved = min(ends), clock
        assert all(sum(epoch > closed for epoch in pace._sent) <= most for pace in paces)
    assert moved > 200
