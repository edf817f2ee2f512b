"""pyCANON, written by others, says the same of generated releases: `pycanon.json` holds its values and its command.

Its k, distinct l, entropy l, t (equal distance for texts, ordered for numbers), alpha, beta and delta are ours. Two of
its functions do not return what they compute, and `benchmarks.checkers.pycanon_values` asks for both forms:

- entropy l is cut to an integer, so three equally frequent values, a hair below 3 in floating point, are told as 2;
  the value before the cut is compared with ours.
- recursive (c, l): the definition takes the values of a class by falling frequency, r1 the most frequent, and pyCANON
  1.3 takes them by rising frequency, so its c is too small for the guarantee it names. Asked with the order turned
  round and without rounding up, it says what we say; what it returns as it stands is reproduced here to show that
  this is the whole difference.

On the public Adult table the same comparison is a command of its own, since the table is no part of this project:
`python -m benchmarks.checkers.comparing benchmarks/checkers/adult.json FOLDER`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.checkers.cases import RANDOM_TABLES, Case, generated
from benchmarks.checkers.comparing import differences, figures
from processors.privacy.guarantees.enough import meets
from tests.processors.privacy import slow

EXPECTED = json.loads(Path(__file__).with_name("pycanon.json").read_text(encoding="utf-8"))
CASES = list(generated())
SMALL = [case for case in CASES if case.name.startswith("random")]


def test_every_figure_is_the_same() -> None:
    assert list(differences(CASES, EXPECTED["values"])) == []


def test_a_difference_is_told() -> None:
    case = SMALL[0]
    other = {**figures(case), "t": -1.0}
    told = list(differences([case], {case.name: other, "another": {}}))
    assert [line.rsplit(" is ")[0] for line in told] == [f"{case.name}: t", "another: not measured here"]


def test_the_releases_say_something() -> None:
    """Classes of one and of many, l of 1 and above, nulls in quasi-identifiers and in sensitive columns."""
    told = EXPECTED["values"].values()
    assert len(SMALL) == 2 * RANDOM_TABLES
    assert {min(one["k"], 10) for one in told} >= {1, 2, 3, 10}
    assert sum(one["recursive"] is not None for one in told) > len(told) / 2
    assert any(one["recursive"] is None for one in told)
    assert all(any(None in column for column in case.columns.values()) for case in SMALL)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_where_pycanon_rounds(case: Case) -> None:
    told = EXPECTED["values"][case.name]
    assert told["entropy_told"] == int(told["entropy"])
    assert meets(figures(case)["entropy"] or 0, told["entropy_told"])


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_where_pycanon_takes_frequencies_the_other_way_round(case: Case) -> None:
    told = EXPECTED["values"][case.name]
    groups = slow.classes(_rows(case), case.quasi_identifiers)
    least = min(slow.distinct(group, case.sensitive) for group in groups)
    rising = [sorted(Counter(row[case.sensitive] for row in group).values()) for group in groups]
    expected = max(math.floor(counts[0] / sum(counts[least - 1 :]) + 1) for counts in rising) if least > 1 else None
    assert told["recursive_told"] == expected


def _rows(case: Case) -> list[dict[str, Any]]:
    return [dict(zip(case.columns, cells, strict=True)) for cells in zip(*case.columns.values(), strict=True)]
