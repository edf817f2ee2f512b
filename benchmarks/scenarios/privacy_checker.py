"""k, l, t and the costs of a release's classes, computed again from its published cells, each in a process of its own.

Eight quasi-identifiers and one sensitive column, from Parquet; generalized as one would publish it and, the worst case
for groups, as it was collected. Making the files is not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.checking import written
from benchmarks.figures import Figure, Outcome, Target
from benchmarks.machine import CHECKOUT
from benchmarks.session import Session
from schemas.errors import Fatal

GIB: Final = 2**30
WITHIN: Final = 600.0  # seconds after which a process counts as stuck
SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"rows": 32_561, "more": 10_000_000, "most": 40_000_000},
    "small": {"rows": 32_561, "more": 500_000, "most": 1_000_000},
    "tiny": {"rows": 1_000, "more": 2_000, "most": 3_000},
}


def measure(session: Session, rows: int, more: int, most: int) -> Outcome:
    """`most` is checked as published alone."""
    targets = {rows: 0.5, more: 20.0}
    outcome = Outcome()
    for count, generalized in ((rows, True), (rows, False), (more, True), (more, False), (most, True)):
        release = written(session.data, count, generalized)
        found = [_checked(release) for _ in range(session.runs)]
        kind = "generalized" if generalized else "raw"
        what = f"{count:,} rows, {kind}, in {found[0]['reached']['classes']:,} classes"
        target = Target("<=", targets[count]) if count in targets else None
        seconds = Figure(f"checking {what}", "s", [one["seconds"] for one in found], target)
        room = Target("<=", 1.5) if generalized else None
        peak = Figure(f"peak memory of {what}", "GiB", [one["peak_bytes"] / GIB for one in found], room)
        outcome.figures |= {f"seconds_{count}_{kind}": seconds, f"peak_gib_{count}_{kind}": peak}
        outcome.details[f"{count}_{kind}"] = found
        session.say(f"{what}: {seconds.value:.2f} s, {peak.value:.2f} GiB")
    return outcome


def _checked(release: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.checking", str(release)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    if done.returncode:
        raise Fatal(f"the release could not be checked:\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told
