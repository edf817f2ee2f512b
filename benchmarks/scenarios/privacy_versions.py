"""Two releases of a census grouped by k = 10, compared: the same people, few others, many others, all others.

Grouping is not counted. What is told depends on the data alone; it is counted up to the limits of the comparison.
"""

from __future__ import annotations

import time
from typing import Any, Final

import polars as pl

from benchmarks.census import QUASI_IDENTIFIERS, census
from benchmarks.figures import Figure, Outcome
from benchmarks.session import Session
from processors.privacy.domains.dimension import Grain, dimension, encode, surveys
from processors.privacy.groups.mondrian import Classes, classes
from processors.privacy.releases.versions import COUNT, Shape, Version, told
from schemas.columns import ColumnType
from schemas.errors import Fatal
from schemas.task.model import Column

SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"rows": 30_162, "more": 300_000, "k": 10},
    "small": {"rows": 30_162, "more": 60_000, "k": 10},
    "tiny": {"rows": 500, "more": 1_000, "k": 10},
}
OTHERS: Final = (0.0, 0.0002, 0.05, 1.0)  # the share of people who are others in the later release
SENSITIVE: Final = "salary-class"
_KINDS: Final[dict[str, ColumnType]] = {name: "int64" if name == "age" else "string" for name in QUASI_IDENTIFIERS}


def measure(session: Session, rows: int, more: int, k: int) -> Outcome:
    """`more` rows with 5 % others alone."""
    outcome = Outcome()
    for count, share in (*((rows, share) for share in OTHERS), (more, OTHERS[2])):
        people, others = (pl.DataFrame(census(count, seed)) for seed in (1, 2))
        changed = int(count * share)
        before, after = (_release(one, k) for one in (people, pl.concat([people[changed:], others[:changed]])))
        seconds = []
        for _ in range(session.runs):
            began = time.perf_counter()
            found = told(before, after)
            seconds.append(time.perf_counter() - began)
        what = f"two releases of {count:,} rows, {share:.2%} of them others"
        figure = outcome.figures[f"seconds_{count}_{share:g}"] = Figure(what, "s", seconds)
        outcome.details[f"{count}_{share:g}"] = found
        session.say(f"{what}: {figure.value:.2f} s, {found or 'nothing told'}")
    return outcome


def _release(people: pl.DataFrame, k: int) -> Version:
    axes = {
        name: dimension(Column(type=_KINDS[name]), Grain(), known) for name, known in surveys(people, _KINDS).items()
    }
    found = classes([*axes.values()], encode(axes, people), k)
    if not isinstance(found, Classes):
        raise Fatal(f"no groups were found: {found}")
    texts = [text.alias(name) for text, name in zip(found.published([*axes.values()]), axes, strict=True)]
    rows = pl.DataFrame([*texts, people[SENSITIVE]]).group_by(*axes, SENSITIVE).len(COUNT)
    shape = Shape("bench", (*axes, SENSITIVE), (*axes,), (SENSITIVE,), k, (2,), _KINDS)
    return Version(shape, rows)
