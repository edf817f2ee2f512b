"""The optimum of the generated census is the one that ARX finds.

All of its cases, and those of the public Adult table: `python -m benchmarks.checkers.arx_optimum`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.checkers.arx_optimum import difference, optimum, read
from benchmarks.checkers.arx_tables import write
from processors.privacy.search.walk import Optimum

FILE = Path(__file__).parents[4] / "benchmarks" / "checkers" / "arx" / "census.json"
EXPECTED = json.loads(FILE.read_text(encoding="utf-8"))
LONG = (
    {"metric": "loss", "limit": 1.0},
    {"metric": "class_size", "limit": 0.04},
    {"metric": "discernibility", "limit": 0.04},
    {"guarantees": {"presence": [0.0, 0.3], "every": 7}, "limit": 0.04},
    {"guarantees": {"presence": [0.05, 0.3], "every": 7}, "limit": 0.0},
    {"guarantees": {"k": 5, "t": 0.2, "distance": "equal"}, "limit": 0.04},
    {"guarantees": {"k": 5}, "limit": 0.02},
)
CASES = [case for case in EXPECTED["values"] if not any(each.items() <= case.items() for each in LONG)]


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("census")
    write(folder)
    assert hashlib.sha256((folder / "adult.csv").read_bytes()).hexdigest() == EXPECTED["sha256_of_adult_csv"]
    assert next(csv.reader(io.StringIO((folder / "adult_hierarchy_sex.csv").read_text()), delimiter=";"))[1] == "*"
    return read(folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['guarantees']} {case['metric']} {case['limit']}")
def test_as_arx(case: dict[str, Any], census: Any) -> None:
    frame, levels = census
    found = optimum(frame, levels, case)
    assert difference(found, case) is None
    assert isinstance(found, Optimum)
    assert found.looked_at < found.nodes / 3


def test_most_cases_are_here() -> None:
    assert len(CASES) == 16
    kinds = {(one["guarantees"].get("kind"), one["guarantees"].get("distance"), one["metric"]) for one in CASES}
    assert len(kinds) == 8
