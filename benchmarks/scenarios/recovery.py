"""A worker killed with its keys of state: seconds until a change sent after the kill is visible in the review store."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks import feeding
from benchmarks.engine import WITHIN, local
from benchmarks.figures import Figure, Outcome, Target
from benchmarks.session import Session
from benchmarks.state import State, loaded
from deploy import stack

SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"keys": 10_000_000},
    "small": {"keys": 200_000},
    "tiny": {"keys": 2_000},
}


def measure(session: Session, keys: int) -> Outcome:
    local(session.engine, "worker")
    found: dict[bool, list[float]] = {False: [], True: []}
    sizes = []
    with loaded(session, keys) as state:
        for number in range(session.runs):
            for wiped, seconds in found.items():
                sizes.append(_size(_folder()))
                seconds.append(_recover(state, wiped, 2 * number + wiped))
                how = "without local state" if wiped else "with local state"
                session.say(f"{how}: records flow again after {seconds[-1]:.1f} s")
    what = f"worker killed with {keys:,} keys until records flow again"
    return Outcome(
        {
            "with_local_state": Figure(f"{what}, local state there", "s", found[False], Target("<=", 30)),
            "without_local_state": Figure(f"{what}, local state gone", "s", found[True], Target("<=", 90)),
        },
        {"state_mib": sizes, "load_seconds": round(state.seconds, 1)},
    )


def _recover(state: State, wiped: bool, number: int) -> float:
    workers = local(state.engine, "worker")
    killed = time.time()
    for one in workers:
        os.kill(one["pid"], signal.SIGKILL)
    gone = _folder().with_name(f"wiped-{number}")
    if wiped:
        _folder().rename(gone)  # at once, before the next worker looks for it
    psutil.wait_procs([psutil.Process(one["pid"]) for one in workers if psutil.pid_exists(one["pid"])], timeout=10)
    note = f"after kill {number} {killed}"
    feeding.send_changes(state.engine.ends, state.topic, [number], note)
    seen = state.watch.seen([number], note, 3 * WITHIN)
    shutil.rmtree(gone, ignore_errors=True)
    return seen - killed


def _folder() -> Path:
    return stack.home() / "state"


def _size(folder: Path) -> int:
    """MiB of the local segments."""
    return sum(path.stat().st_size for path in folder.rglob("*.seg")) >> 20
