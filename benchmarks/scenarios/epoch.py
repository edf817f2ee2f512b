"""An epoch of 1,000 changed records against a merge state of 1 M and of 10 M keys."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import feeding
from benchmarks.engine import WITHIN
from benchmarks.figures import Figure, Outcome, Target
from benchmarks.session import Session
from benchmarks.state import EPOCH, State, loaded
from benchmarks.watching import difference

PARTITIONS: Final = 2  # of a continuous run
SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"keys": 1_000_000, "more": 10_000_000, "changes": 1_000, "epochs": 5},
    "small": {"keys": 50_000, "more": 500_000, "changes": 1_000, "epochs": 3},
    "tiny": {"keys": 2_000, "more": 4_000, "changes": 100, "epochs": 1},
}


@dataclass(frozen=True)
class Closed:
    """One epoch: from its end by the clock to visible, and the worker's own time for it, all partitions together."""

    visible: float
    worker: float


def measure(session: Session, keys: int, more: int, changes: int, epochs: int) -> Outcome:
    """The state is loaded once; `epochs` times `runs` epochs are measured against it."""
    outcome = Outcome()
    seconds: dict[int, list[float]] = {}
    for count in (keys, more):
        with loaded(session, count) as state:
            found = [_push(state, changes, number) for number in range(epochs * session.runs)]
        visible, worker = [one.visible for one in found], [one.worker for one in found]
        session.say(
            f"{count:,} keys: {statistics.median(visible):.3f} s to visible, {statistics.median(worker):.3f} s in merge"
        )
        seconds[count] = worker
        what = f"an epoch of {changes:,} records against {count:,} keys"
        outcome.figures[f"visible_seconds_{count}"] = Figure(
            f"{what}: from its end to visible", "s", visible, Target("<=", 0.5)
        )
        outcome.figures[f"merge_seconds_{count}"] = Figure(f"{what}: in the merge (metal_epoch_seconds)", "s", worker)
        outcome.details[f"load_seconds_{count}"] = round(state.seconds, 1)
    for name in ("visible", "merge"):
        small, large = (outcome.figures[f"{name}_seconds_{count}"].value for count in (keys, more))
        outcome.figures[f"{name}_ratio"] = Figure(
            f"{name}: {more:,} keys against {keys:,}", "", [large / small], Target("<=", 1.3)
        )
    return outcome


def _push(state: State, changes: int, number: int) -> Closed:
    """All changes within one epoch: sent when the one before it is surely ended, timed from its own end."""
    draw = random.Random(number)
    ids, note = draw.sample(range(state.keys), changes), f"push {number} {draw.random()}"
    end = 0.0
    while True:
        time.sleep(EPOCH - time.time() % EPOCH + 0.4 * EPOCH)
        start = time.time()
        end = (start // EPOCH + 1) * EPOCH
        feeding.send_changes(state.engine.ends, state.topic, ids, note)
        if time.time() < end - EPOCH / 4:
            break  # else part of them may fall into the next epoch
        state.watch.seen(ids, note, WITHIN)
    before = state.engine.metrics("worker")
    time.sleep(max(0.0, end - time.time()))
    seen = state.watch.seen(ids, note, WITHIN)
    time.sleep(0.2)
    count, total = difference(state.engine.metrics("worker"), before, "metal_epoch_seconds", stage="merge")
    return Closed(seen - end, total / max(1.0, count / PARTITIONS))
