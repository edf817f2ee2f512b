"""Our optimum beside ARX's on one table: `python -m benchmarks.checkers.arx_optimum EXPECTED.json FOLDER`.

EXPECTED is what `benchmarks/checkers/arx/Optimum.java` told of FOLDER. Prints seconds of both, ours the fastest of
three, and exits with 1 where losses differ, or rows that are suppressed where levels do: several can be the best.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from processors.privacy.demands import Demands
from processors.privacy.lattice import search
from processors.privacy.levels import Levels, from_csv
from processors.privacy.requested import Closeness, Diversity
from processors.privacy.unreachable import Unreachable
from processors.privacy.walk import Optimum

METRICS: Final = {"loss": "leaves"}  # ARX's name: ours
DIGITS: Final = 1e-8  # ARX rounds what it tells
ROUNDS: Final = 3


def demands(asked: Mapping[str, Any], sensitive: str) -> Demands:
    """ARX measures t against the table before anything is suppressed."""
    diversity = (Diversity(sensitive, asked["l"], asked["kind"], asked.get("c")),) if "l" in asked else ()
    closeness = (Closeness(sensitive, asked["t"], asked["distance"]),) if "t" in asked else ()
    low_high = asked.get("presence")
    presence = None if low_high is None else (low_high[0], low_high[1])
    return Demands(asked.get("k", 1), None, diversity, closeness, presence, reference="table")


def optimum(frame: pl.DataFrame, levels: Mapping[str, Levels], case: Mapping[str, Any]) -> Optimum | Unreachable:
    """Of one of ARX's cases. A sensitive column is no quasi-identifier; `every`: so many rows of the population."""
    asked, sensitive = case["guarantees"], case["sensitive"]
    columns = {name: one for name, one in levels.items() if name != sensitive}
    metric = METRICS.get(case["metric"], case["metric"])
    released = frame.gather_every(asked["every"]) if "every" in asked else frame
    population = frame if "every" in asked else None
    return search(released, columns, demands(asked, sensitive), case["limit"], metric, population)


def difference(found: Optimum | Unreachable, case: Mapping[str, Any]) -> str | None:
    """What is not the same, if anything. Levels may differ where both cost the same and suppress as much."""
    if isinstance(found, Unreachable):
        return str(found)
    if abs(found.loss - case["loss"]) > DIGITS * max(1.0, case["loss"]):
        return f"loss {found.loss} here, {case['loss']} there"
    if found.levels != case["levels"] and found.suppressed != case["suppressed"]:
        return f"{found.suppressed} rows suppressed here, {case['suppressed']} there"
    return None


def read(folder: Path) -> tuple[pl.DataFrame, dict[str, Levels]]:
    frame = pl.read_csv(folder / "adult.csv", separator=";", infer_schema=False)
    files = {name: folder / f"adult_hierarchy_{name}.csv" for name in frame.columns}
    return frame, {name: from_csv(path.read_text(encoding="utf-8")) for name, path in files.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("expected", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    frame, levels = read(given.folder)
    wrong = 0
    for case in json.loads(given.expected.read_text(encoding="utf-8"))["values"]:
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            found = optimum(frame, levels, case)
            seconds.append(time.perf_counter() - began)
        differs = difference(found, case)
        wrong += differs is not None
        name = f"{case['guarantees']} {case['metric']} limit {case['limit']}"
        arx = f"{case['seconds']:.3f} s" if "seconds" in case else "not timed"
        looked = found.looked_at if isinstance(found, Optimum) else "all"
        print(f"{name}: {differs or 'the same'}; {min(seconds):.3f} s, ARX {arx}; {looked} nodes looked at")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
