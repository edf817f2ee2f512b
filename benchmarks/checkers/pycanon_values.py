"""What pyCANON says of the releases of `cases`, as JSON: the judge from outside for k, l, t, alpha, beta and delta.

Its pins do not agree with ours, so it runs in an environment of its own, made from `pycanon.lock`:

    .venv/bin/uv venv ENVIRONMENT
    .venv/bin/uv pip sync --python ENVIRONMENT/bin/python --require-hashes benchmarks/checkers/pycanon.lock
    ENVIRONMENT/bin/python -m benchmarks.checkers.pycanon_values tests/processors/privacy/measured/pycanon.json
    ENVIRONMENT/bin/python -m benchmarks.checkers.pycanon_values benchmarks/checkers/adult.json --adult FOLDER

FOLDER holds ARX's `data/adult.csv` and `data/adult_hierarchy_*.csv`, which are no part of this project.
pyCANON leaves nulls out, so each is given to it as a value of its own, a number's below all others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from pycanon import anonymity
from pycanon.anonymity import _l_diversity

from benchmarks.checkers.cases import Case, generated, read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--adult", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    cases = generated() if given.adult is None else read(given.adult)
    told: dict[str, Any] = {
        "by": f"pycanon {version('pycanon')}",
        "command": "python -m benchmarks.checkers.pycanon_values OUTPUT" + (" --adult FOLDER" if given.adult else ""),
    }
    if given.adult:
        told["sha256_of_adult_csv"] = hashlib.sha256((given.adult / "adult.csv").read_bytes()).hexdigest()
    told["values"] = {case.name: values_of(case) for case in cases}
    given.output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def values_of(case: Case) -> dict[str, float | None]:
    """`..._told` is what pyCANON's functions return; the others are theirs before rounding, see the two patches."""
    frame = pd.DataFrame({name: _filled(values) for name, values in case.columns.items()})
    asked = (frame, list(case.quasi_identifiers), [case.sensitive])
    told: dict[str, Any] = {
        "k": anonymity.k_anonymity(*asked[:2]),
        "distinct": anonymity.l_diversity(*asked),
        "entropy_told": anonymity.entropy_l_diversity(*asked),
        "recursive_told": anonymity.recursive_c_l_diversity(*asked)[0],
        "t": anonymity.t_closeness(*asked),
        "alpha": anonymity.alpha_k_anonymity(*asked)[0],
        "beta": anonymity.basic_beta_likeness(*asked),
        "delta": anonymity.delta_disclosure(*asked),
    }
    with _unrounded():
        told["entropy"] = anonymity.entropy_l_diversity(*asked)
    with _unrounded(), _by_falling_frequency():
        told["recursive"] = anonymity.recursive_c_l_diversity(*asked)[0] - 1  # it adds 1 before it rounds down
    return {name: None if math.isnan(value) else _plain(value) for name, value in told.items()}


def _plain(value: Any) -> float:
    return int(value) if float(value).is_integer() else float(value)


def _filled(values: list[Any]) -> list[Any]:
    if any(isinstance(value, str) for value in values):
        return ["(null)" if value is None else value for value in values]
    below = min(value for value in values if value is not None) - 1
    return [below if value is None else value for value in values]


@contextmanager
def _unrounded() -> Iterator[None]:
    """Its module finds `float` where it says `int`, so it returns what it has computed."""
    with patch.object(_l_diversity, "int", float, create=True):
        yield


@contextmanager
def _by_falling_frequency() -> Iterator[None]:
    """Its module takes the values of a class by rising frequency, and the definition by falling; nor does it floor."""
    ours = {"sort": lambda counts: np.sort(counts)[::-1], "floor": lambda ratio: ratio}
    with patch.object(_l_diversity, "np", SimpleNamespace(**{**vars(np), **ours})):
        yield


if __name__ == "__main__":
    main()
