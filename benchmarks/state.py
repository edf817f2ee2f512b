"""A continuous run with so many keys of state, loaded from a file, that takes changes from a topic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from benchmarks import data, feeding
from benchmarks.comparing import patience
from benchmarks.engine import Engine
from benchmarks.session import Session
from benchmarks.watching import Watch

EPOCH: Final = 2.0


@dataclass
class State:
    engine: Engine
    run: str
    topic: str
    keys: int
    seconds: float  # that it took to load
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = Watch(self.engine, self.run)


@contextmanager
def loaded(session: Session, keys: int) -> Iterator[State]:
    engine = session.engine
    base = data.state_file(session.data, keys)
    with feeding.passing(engine.ends, 2) as topic:
        task = data.live_task(session.data, "bench_state", topic, EPOCH, base)
        engine.checkpoint()
        started = time.monotonic()
        with engine.running(task) as run:
            session.say(f"loading {keys:,} keys into run {run}")
            state = State(engine, run, topic, keys, 0.0)
            state.watch.loaded(keys, patience(keys))
            state.seconds = time.monotonic() - started
            state.watch.index()
            session.say(f"{keys:,} keys after {state.seconds:.1f} s")
            yield state
