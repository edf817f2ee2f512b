"""Continuous mode at a steady rate: from a record's source time to the moment a SELECT in the review store finds it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from typing import Any, Final

from benchmarks import data, feeding
from benchmarks.engine import WITHIN, until
from benchmarks.figures import Figure, Outcome, Target
from benchmarks.machine import CHECKOUT
from benchmarks.session import Session
from benchmarks.watching import EVERY, Arrivals, Watch
from schemas.errors import Fatal

EPOCHS: Final = {2.0: 3.0, 0.3: 1.0}  # length in seconds: target of the p99
WARM: Final = 100_000_000  # the id of the record that shows that the run flows; the feed's begin at 0
SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"rate": 10_000, "seconds": 30.0, "settle": 5.0, "every": 20},
    "small": {"rate": 2_000, "seconds": 10.0, "settle": 2.0, "every": 10},
    "tiny": {"rate": 500, "seconds": 1.5, "settle": 0.2, "every": 5},
}


def measure(session: Session, rate: int, seconds: float, settle: float, every: int) -> Outcome:
    """`settle`: so many seconds from the beginning of the feed aren't counted; one record in `every` is looked for."""
    outcome = Outcome()
    for epoch, target in EPOCHS.items():
        halves, tails, details = [], [], []
        for _ in range(session.runs):
            delays = _run(session, epoch, rate, seconds + settle, settle, every)
            half, tail = quantile(delays, 50), quantile(delays, 99)
            session.say(f"epochs of {epoch} s: p50 {half:.2f} s, p99 {tail:.2f} s of {len(delays)}")
            halves.append(half)
            tails.append(tail)
            details.append({"looked_for": len(delays), "most": round(max(delays), 3)})
        name = f"epoch_{epoch:g}s".replace(".", "_")
        outcome.figures[f"{name}_p50"] = Figure(f"source to review store, epochs of {epoch:g} s, p50", "s", halves)
        outcome.figures[f"{name}_p99"] = Figure(
            f"source to review store, epochs of {epoch:g} s, p99", "s", tails, Target("<=", target)
        )
        outcome.details[name] = details
    return outcome


def quantile(delays: list[float], percent: int) -> float:
    return statistics.quantiles(delays, n=100, method="inclusive")[percent - 1]


def _run(session: Session, epoch: float, rate: int, seconds: float, settle: float, every: int) -> list[float]:
    engine = session.engine
    with feeding.passing(engine.ends, 2) as topic:
        with engine.running(data.live_task(session.data, "bench_latency", topic, epoch)) as run:
            watch = Watch(engine, run)
            watch.index()
            feeding.send_changes(engine.ends, topic, [WARM], "first")
            until(lambda: watch.present([WARM]), WITHIN, "the run flows")
            arrivals = Arrivals(watch, every)
            _feed(arrivals, topic, rate, seconds)
    first = min(at for at, _ in arrivals.delays) + settle
    return [delay for at, delay in arrivals.delays if at >= first]


def _feed(arrivals: Arrivals, topic: str, rate: int, seconds: float) -> None:
    """Looks while another process feeds, and until all that it sent is visible."""
    command = [sys.executable, "-m", "benchmarks.feeding", topic, "--rate", str(rate), "--seconds", str(seconds)]
    feed = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    listening = threading.Thread(target=_listen, args=(feed, arrivals), daemon=True)
    listening.start()
    try:
        deadline = time.monotonic() + seconds + WITHIN
        over = False
        while not (arrivals.look() and over):
            if time.monotonic() > deadline:
                raise Fatal(f"not every record was visible {WITHIN:.0f} s after the last was sent")
            time.sleep(EVERY)
            over = not listening.is_alive()  # asked before the next look, which then has all that was sent
    finally:
        feed.kill()
        feed.wait()
    if not arrivals.delays:
        raise Fatal("the feed sent nothing")


def _listen(feed: subprocess.Popen[str], arrivals: Arrivals) -> None:
    for line in feed.stdout or ():
        first, count, at = line.split()
        arrivals.sent(int(first), int(count), float(at))
