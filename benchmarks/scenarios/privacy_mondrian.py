"""Mondrian with k = 10 over eight quasi-identifiers of a census, beside the same in plain Python, each in a process.

The census a hundred times, once as it is and once perturbed so that few rows are equal; its groups and what they lose
against the plain one's on a single census; and the memory that a large one takes. Making the data is not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

from benchmarks.figures import Figure, Outcome, Target
from benchmarks.machine import CHECKOUT
from benchmarks.session import Session
from schemas.errors import Fatal

GIB: Final = 2**30
WITHIN: Final = 1_800.0  # seconds after which a process counts as stuck
SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"rows": 30_162, "more": 3_016_200, "most": 40_000_000},
    "small": {"rows": 30_162, "more": 301_620, "most": 1_000_000},
    "tiny": {"rows": 1_000, "more": 2_000, "most": 3_000},
}


def measure(session: Session, rows: int, more: int, most: int) -> Outcome:
    """`rows` are grouped by both, `more` twice by the engine, `most` once for their memory."""
    outcome = Outcome()
    plain, one = ([_grouped(kind, rows) for _ in range(session.runs)] for kind in ("plain", "repeated"))
    outcome.details |= {f"plain_{rows}": plain, f"repeated_{rows}": one}
    outcome.figures["plain_rows_per_second"] = _rate(f"plain Python, {rows:,} rows", plain)
    session.say(f"plain Python: {outcome.figures['plain_rows_per_second'].value:,.0f} rows/s")
    for kind in ("repeated", "perturbed"):
        found = [_grouped(kind, more) for _ in range(session.runs)]
        figure = _rate(f"{more:,} rows, {kind}, in {found[0]['classes']:,} classes", found, Target(">=", 1_000_000))
        outcome.figures[f"{kind}_rows_per_second"] = figure
        outcome.details[f"{kind}_{more}"] = found
        session.say(f"{figure.what}: {figure.value:,.0f} rows/s")
    for key, what, target in (
        ("classes", "groups against the plain one's", Target(">=", 1)),
        ("ncp", "NCP against the plain one's", Target("<=", 1)),
        ("discernibility", "discernibility against the plain one's", Target("<=", 1)),
    ):
        outcome.figures[key] = Figure(what, "", [one[0][key] / plain[0][key]], target)
    large = _grouped("perturbed", most)
    outcome.details[f"perturbed_{most}"] = [large]
    peak = Figure(f"peak memory of {most:,} rows", "GiB", [large["peak_bytes"] / GIB], Target("<=", 1.5))
    outcome.figures["peak_gib"] = peak
    return outcome


def _rate(what: str, found: list[dict[str, Any]], target: Target | None = None) -> Figure:
    return Figure(what, "rows/s", [one["rows"] / one["seconds"] for one in found], target)


def _grouped(kind: str, rows: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.mondrian", kind, str(rows)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    if done.returncode:
        raise Fatal(f"the table could not be grouped:\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told
