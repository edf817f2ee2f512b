"""What ends a worker that stands still, and what only looks like it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from processors.worker import metrics, watch
from processors.worker.watch import LOST, STALL, Watch


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


class Consumer:
    """Of one partition of a stage topic: read to the offset 9, and due from 7 on."""

    def __init__(self) -> None:
        self.due: dict[tuple[str, int], int | None] = {("metal.related", 3): 7}
        self.asked: list[tuple[TP, int]] = []

    def assignment(self) -> set[TP]:
        return {TP("metal.related", 3), TP("metal-merge-state-changelog", 3)}

    def highwater(self, tp: TP) -> int | None:
        return 9 if tp.topic == "metal.related" else None

    async def rewind(self, tp: TP, offset: int) -> None:
        self.asked.append((tp, offset))


@pytest.mark.parametrize(
    ("due", "waits", "asked"), [(7, False, True), (7, True, False), (9, False, False), (None, False, False)]
)
def test_what_came_to_no_stage_is_read_again(clock: list[float], due: int | None, waits: bool, asked: bool) -> None:
    consumer = Consumer()
    consumer.due["metal.related", 3] = due
    worker = SimpleNamespace(app=SimpleNamespace(consumer=consumer), waits=lambda *_: waits)
    one = Watch(cast(Any, worker))
    for _ in range(int(LOST) + 2):
        asyncio.run(one._ask_again())
        clock[0] += 1
    assert consumer.asked == ([(TP("metal.related", 3), 7)] if asked else [])


def test_what_goes_on_is_not_read_again(clock: list[float]) -> None:
    consumer = Consumer()
    one = Watch(cast(Any, SimpleNamespace(app=SimpleNamespace(consumer=consumer), waits=lambda *_: False)))
    for second in range(40):
        consumer.due["metal.related", 3] = second // 5 - 2
        asyncio.run(one._ask_again())
        clock[0] += 1
    assert consumer.asked == []
