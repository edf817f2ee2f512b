"""How many closes are worked on at once: one at a time where they mostly read single rows, else as many as may be."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from processors.worker import merge_stage
from processors.worker.merge_stage import CLOSES, FEW, MANY, MergeStage


class Working:
    """Stands in for the core's close: it lasts until others have had every chance to begin."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._together = threading.Barrier(CLOSES)
        self.met = 0

    def close(self, *_: Any) -> Iterator[Any]:
        try:
            self._together.wait(self._patience)
            self.met += 1
        except threading.BrokenBarrierError:
            self._together.reset()
        yield from ()


def part(rows: int, segments: int = 2) -> Any:
    info = SimpleNamespace(key=bytes(32), partitions=2, plan=SimpleNamespace(relational=False))
    progress = SimpleNamespace(boundary=7, counts={}, closes=0)
    new = [SimpleNamespace(rows=rows - segments + 1), *(SimpleNamespace(rows=1) for _ in range(segments - 1))]
    return SimpleNamespace(
        info=info, progress=progress, segments=lambda _, after=-1, upto=2**62: new if after == 7 else []
    )


def met(rows: int, patience: float, monkeypatch: pytest.MonkeyPatch, segments: int = 2) -> int:
    """How many closes of so many new rows were at work together."""
    working = Working(patience)
    monkeypatch.setattr(merge_stage, "close", working.close)
    unasked: Any = None
    stage: Any = MergeStage(unasked, unasked, unasked)

    async def both() -> None:
        table = SimpleNamespace(name="person")
        await asyncio.gather(*(stage._close_table(part(rows, segments), table, deque()) for _ in range(CLOSES)))

    asyncio.run(both())
    return working.met


def test_closes_with_few_new_rows_are_worked_on_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert met(FEW, 0.2, monkeypatch) == 0


def test_closes_with_many_new_rows_are_worked_on_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert met(FEW + 1, 20.0, monkeypatch) == CLOSES


def test_of_many_segments_the_blocks_are_held_for_one_partition_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert met(FEW * 100, 30, monkeypatch, MANY) == CLOSES
    assert met(FEW * 100, 0.2, monkeypatch, MANY + 1) == 0
