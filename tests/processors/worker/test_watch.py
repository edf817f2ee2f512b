"""What ends a worker that stands still, and what only looks like it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from processors.worker import metrics, watch
from processors.worker.watch import STALL, Watch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    reasons: list[str] = []
    monkeypatch.setattr(watch, "end_process", lambda reason: reasons.append(reason))
    return reasons


def looked(seconds: int, clock: list[float], lag: int) -> None:
    """A look every second, at batches that wait."""
    one = Watch(cast(Any, None))
    for _ in range(seconds):
        one._stalled(lag)
        clock[0] += 1


def test_batches_that_wait_with_nothing_done_end_the_process(clock: list[float], ended: list[str]) -> None:
    looked(int(STALL) + 3, clock, lag=2)
    assert ended[0] == "batches wait, and none is acknowledged"


def test_nothing_ends_while_nothing_waits(clock: list[float], ended: list[str]) -> None:
    looked(3 * int(STALL), clock, lag=0)
    assert ended == []


def test_a_core_may_compute_for_long(clock: list[float], ended: list[str]) -> None:
    with metrics.computing():
        assert metrics.AT_WORK._value.get() == 1
        looked(3 * int(STALL), clock, lag=2)
    assert metrics.AT_WORK._value.get() == 0
    assert ended == []
