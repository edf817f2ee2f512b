"""What a worker knows of runs: the compiled spec, the key and whether batches of a run still count.

Spec and key come from the control store when a run is first met and stay in memory alone; changes of state come
over the control topic. A run that is unknown, stopped, failed or ended is inactive: its batches are dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from processors.aggregate.noisy import Ask, nobody_asks
from processors.plan import TaskPlan
from schemas.errors import NotFound


@dataclass(frozen=True)
class RunInfo:
    run: str
    task: str
    mode: str
    partitions: int
    lanes: int
    plan: TaskPlan
    key: bytes = field(repr=False)
    ask: Ask = field(default=nobody_asks, repr=False)  # who keeps the budget of what is told with noise
    waived: frozenset[str] = frozenset()  # tables that leave as they are, sealed


Load = Callable[[str], RunInfo | None]  # None: the run is over
Fail = Callable[[str, str], None]


class Directory:
    def __init__(self, load: Load, fail: Fail) -> None:
        self._load = load
        self._fail = fail
        self._runs: dict[str, RunInfo | None] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="directory")
        self.on_gone: Callable[[str], None] = lambda _: None

    async def get(self, run: str) -> RunInfo | None:
        if run not in self._runs:
            loop = asyncio.get_running_loop()
            try:
                info = await loop.run_in_executor(self._pool, self._load, run)
            except NotFound:
                info = None
            self._runs.setdefault(run, info)
            if info is None:
                self.on_gone(run)
        return self._runs[run]

    def active(self, run: str) -> bool:
        return self._runs.get(run) is not None

    def over(self, run: str) -> bool:
        """Known to be stopped, failed or ended; False of a run that was not met yet."""
        return run in self._runs and self._runs[run] is None

    def gone(self, run: str) -> None:
        """The run was stopped, has failed or has ended; its key is forgotten here."""
        self._runs[run] = None
        self.on_gone(run)

    async def fail(self, run: str, reason: str) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, self._fail, run, reason)
        self.gone(run)
