"""What a scenario is given: the engine, a folder for data, how often to measure, and somewhere to say how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine import Engine
from schemas.errors import Fatal


@dataclass
class Session:
    """`running` is None for scenarios that need no stack of this home."""

    running: Engine | None
    data: Path
    runs: int
    say: Callable[[str], None]

    @property
    def engine(self) -> Engine:
        if self.running is None:
            raise Fatal("this benchmark needs a running stack and is listed as one that does not")
        return self.running
