"""Full-domain generalization: the best of all combinations of levels of nine quasi-identifiers, for k = 5.

On the generated census, by the share of rows that may be suppressed; reading the table is not counted, encoding it is.
The public Adult table beside ARX: `python -m benchmarks.checkers.arx_optimum`.
"""

from __future__ import annotations

import time
from typing import Any, Final

import polars as pl

from benchmarks.census import census, hierarchies
from benchmarks.figures import Figure, Outcome, Target
from benchmarks.session import Session
from processors.privacy.domains.levels import from_rows
from processors.privacy.search.demands import Demands
from processors.privacy.search.lattice import search
from processors.privacy.search.walk import Optimum
from schemas.errors import Fatal

SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"rows": 30_162, "more": 3_000_000, "k": 5},
    "small": {"rows": 30_162, "more": 300_000, "k": 5},
    "tiny": {"rows": 500, "more": 1_000, "k": 5},
}
TARGET: Final = Target("<=", 1.0)  # ARX, warm, on the Adult table with 4 % suppression


def measure(session: Session, rows: int, more: int, k: int) -> Outcome:
    """`more` rows at 4 % alone."""
    outcome = Outcome()
    for count, limit in ((rows, 0.0), (rows, 0.04), (rows, 1.0), (more, 0.04)):
        frame, seconds = pl.DataFrame(census(count)), []
        levels = {name: from_rows(tree) for name, tree in hierarchies().items()}
        for _ in range(session.runs + (not outcome.figures)):  # the first of all warms up and is not counted
            began = time.perf_counter()
            found = search(frame, {name: levels[name] for name in frame.columns}, Demands(k=k), limit)
            seconds.append(time.perf_counter() - began)
        if not isinstance(found, Optimum):
            raise Fatal(f"no combination of levels was found: {found}")
        what = f"best of {found.nodes:,} nodes, {count:,} rows, {limit:.0%} suppressed at most"
        figure = Figure(what, "s", seconds[-session.runs :], TARGET if (count, limit) == (rows, 0.04) else None)
        outcome.figures[f"seconds_{count}_{limit:g}"] = figure
        outcome.details[f"{count}_{limit:g}"] = {
            "levels": found.levels,
            "ncp": found.ncp,
            "suppressed": found.suppressed,
            "looked_at": found.looked_at,
        }
        session.say(f"{what}: {figure.value:.2f} s, {found.looked_at:,} looked at")
    return outcome
