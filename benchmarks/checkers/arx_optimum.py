"""Our optimum beside ARX's on one table: `python -m benchmarks.checkers.arx_optimum FOLDER`.

FOLDER has `adult.csv` and `adult_hierarchy_*.csv`. `--expected FILE` has what `benchmarks/checkers/arx/Optimum.java`
told of them; `--arx CLASSPATH` runs it, so that both are timed side by side, and `--write FILE` keeps what it told.
Prints the seconds of both, the fastest of three rounds, and exits with 1 where losses differ, or rows that are
suppressed where levels do: several can be the best.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from processors.privacy.domains.levels import Levels, from_csv
from processors.privacy.guarantees.requested import Closeness, Diversity
from processors.privacy.search.demands import Demands
from processors.privacy.search.lattice import search
from processors.privacy.search.unreachable import Unreachable
from processors.privacy.search.walk import Optimum

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


def told_by_arx(folder: Path, classpath: str) -> dict[str, Any]:
    """Of all cases, the driver, ARX and its libraries being on the class path."""
    command = ["java", "-cp", classpath, "Optimum", str(folder), str(ROUNDS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {
        "by": "ARX, commit aacd487fb77b3af7970d5d6fa1b2f6cca1182b64",
        "command": "python -m benchmarks.checkers.arx_optimum FOLDER --arx CLASSPATH --write FILE",
        "sha256_of_adult_csv": hashlib.sha256((folder / "adult.csv").read_bytes()).hexdigest(),
        "values": json.loads(done.stdout),
    }


def write(path: Path, told: dict[str, Any]) -> None:
    """A line for each case, without its seconds, which are of one machine and its load."""
    head = json.dumps({name: one for name, one in told.items() if name != "values"}, indent=1)
    cases = [{name: one for name, one in case.items() if name != "seconds"} for case in told["values"]]
    lines = ",\n".join(f"  {json.dumps(case)}" for case in cases)
    path.write_text(f'{head[:-2]},\n "values": [\n{lines}\n ]\n}}\n', encoding="utf-8")


def compared(folder: Path, cases: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str | None]]:
    """A line about each case, and what differs."""
    frame, levels = read(folder)
    for case in cases:
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            found = optimum(frame, levels, case)
            seconds.append(time.perf_counter() - began)
        differs = difference(found, case)
        name = f"{case['guarantees']} {case['metric']} limit {case['limit']}"
        looked = found.looked_at if isinstance(found, Optimum) else "all"
        times = f"{min(seconds):.3f} s here, {case.get('seconds', 'not timed')} there"
        yield f"{name}: {differs or 'the same'}; {times}; {looked} nodes looked at", differs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    told_by = parser.add_mutually_exclusive_group(required=True)
    told_by.add_argument("--expected", type=Path)
    told_by.add_argument("--arx", metavar="CLASSPATH")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    known = None if given.arx else json.loads(given.expected.read_text(encoding="utf-8"))
    told = known or told_by_arx(given.folder, given.arx)
    if given.write:
        write(given.write, told)
    wrong = 0
    for line, differs in compared(given.folder, told["values"]):
        print(line, flush=True)
        wrong += differs is not None
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
