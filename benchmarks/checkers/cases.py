"""Releases that checkers of others and ours both measure: columns, quasi-identifiers and one sensitive column each.

Knows no checker; needs numpy at most, so that it runs in the environments of all of them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.census import QUASI_IDENTIFIERS, census, draw, hierarchies

Columns = dict[str, list[Any]]
RANDOM_TABLES: Final = 10
NULLS: Final = 13  # of the values of a random table one in so many is null
_LEVELS: Final[dict[str, dict[str, int]]] = {
    "raw": {},
    "generalized": {"age": 3, "race": 1, "marital-status": 1, "education": 2, "native-country": 1, "workclass": 1},
    "coarse": {"age": 3, "race": 1, "marital-status": 2, "education": 2, "native-country": 2, "workclass": 2},
}
_CENSUS: Final = (
    ("raw", ("sex", "race"), ("occupation", "salary-class", "age")),
    ("raw", ("sex", "marital-status", "workclass"), ("occupation", "age")),
    ("raw", ("age", "education", "sex"), ("occupation", "salary-class")),
    ("generalized", QUASI_IDENTIFIERS, ("occupation", "salary-class")),
    ("coarse", QUASI_IDENTIFIERS, ("occupation", "salary-class")),
    ("coarse", ("education", "sex"), ("occupation", "age")),
)


@dataclass(frozen=True)
class Case:
    """A null of a column is None."""

    name: str
    columns: Columns
    quasi_identifiers: Sequence[str]
    sensitive: str


def generated() -> Iterator[Case]:
    """Made by a rule, so the same everywhere."""
    yield from _of_a_census("census", census(), hierarchies())
    for number in range(1, RANDOM_TABLES + 1):
        yield from _random(number)


def read(folder: Path) -> Iterator[Case]:
    """Of the public Adult table as ARX has it: `adult.csv` and `adult_hierarchy_*.csv`."""
    with (folder / "adult.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    columns: Columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns["age"] = [int(age) for age in columns["age"]]
    trees = {name: _tree(folder / f"adult_hierarchy_{name}.csv") for name in _LEVELS["generalized"]}
    return _of_a_census("adult", columns, trees)


def _tree(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file, delimiter=";") if row]


def _of_a_census(table: str, columns: Columns, trees: dict[str, list[list[str]]]) -> Iterator[Case]:
    for how, quasi_identifiers, sensitive in _CENSUS:
        published = dict(columns)
        for name in quasi_identifiers:
            level = _LEVELS[how].get(name, 0)
            if level:
                groups = {row[0]: row[level] for row in trees[name]}
                published[name] = [groups[str(value)] for value in columns[name]]
        for one in sensitive:
            shown = {name: published[name] for name in (*quasi_identifiers, one)}
            yield Case(f"{table} {how}: {', '.join(quasi_identifiers)}; {one}", shown, quasi_identifiers, one)


def _random(number: int) -> Iterator[Case]:
    """A few hundred rows with nulls in every column; `word` is sensitive text, `number` a sensitive number."""
    rows, quasi_identifiers = 60 * number, ("a", "b", "c")[: 1 + number % 3]
    columns: Columns = {
        name: _holed(draw(rows, number, place, 2 + place).tolist(), number, place)
        for place, name in enumerate(quasi_identifiers)
    }
    columns["word"] = [
        None if value is None else f"w{value}"
        for value in _holed(draw(rows, number, 8, 4 + number).tolist(), number, 8)
    ]
    columns["number"] = _holed([value * value for value in draw(rows, number, 9, 3 + 2 * number).tolist()], number, 9)
    for sensitive in ("word", "number"):
        shown = {name: columns[name] for name in (*quasi_identifiers, sensitive)}
        yield Case(f"random {number}: {', '.join(quasi_identifiers)}; {sensitive}", shown, quasi_identifiers, sensitive)


def _holed(values: list[Any], seed: int, column: int) -> list[Any]:
    holes = draw(len(values), seed, 100 + column, NULLS).tolist()
    return [None if hole == 0 else value for value, hole in zip(values, holes, strict=True)]
