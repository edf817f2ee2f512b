"""Our figures beside pyCANON's of the same release: `python -m benchmarks.checkers.comparing EXPECTED.json FOLDER`.

EXPECTED is what `pycanon_values` wrote of the public Adult table in FOLDER. Exits with 1 where they differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.checkers.cases import Case, read
from processors.privacy.measured.measure import measure

TOLERANCE: Final = 1e-9


def figures(case: Case) -> dict[str, float | None]:
    """Under the names of `pycanon_values`; t is by ordered distance for numbers, by equal distance for texts."""
    measured = measure(pl.DataFrame(case.columns), case.quasi_identifiers, [case.sensitive])
    reached = measured.sensitive[case.sensitive]
    return {
        "k": measured.k,
        "distinct": reached.distinct,
        "entropy": reached.entropy,
        "recursive": reached.recursive if reached.distinct > 1 else None,
        "t": reached.equal if reached.ordered is None else reached.ordered,
        "alpha": reached.alpha,
        "beta": reached.beta,
        "delta": reached.delta,
    }


def differences(cases: Iterable[Case], expected: dict[str, dict[str, Any]]) -> Iterator[str]:
    """One line for each figure that is not the same; cases that only one side has count as well."""
    left = set(expected)
    for case in cases:
        left.discard(case.name)
        for name, own in figures(case).items():
            other = expected.get(case.name, {}).get(name, math.nan)
            if own is None or other is None:
                same = own is other
            else:
                same = math.isclose(own, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
            if not same:
                yield f"{case.name}: {name} is {own} here and {other} there"
    yield from (f"{name}: not measured here" for name in sorted(left))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("expected", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    told = json.loads(given.expected.read_text(encoding="utf-8"))
    digest = hashlib.sha256((given.folder / "adult.csv").read_bytes()).hexdigest()
    found = [] if digest == told["sha256_of_adult_csv"] else ["adult.csv is not the file that was measured there"]
    cases = list(read(given.folder))
    began = time.perf_counter()
    found += differences(cases, told["values"])
    seconds = round(time.perf_counter() - began, 3)
    print(json.dumps({"by": told["by"], "releases": len(cases), "seconds": seconds, "differences": found}, indent=1))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
