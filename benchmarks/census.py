"""A table in the shape of a census extract, made by a rule of integers alone: the same rows on every machine, for ever.

As many people, columns and values per column as the public Adult table has, with some of its dependences (marriage on
age, occupation on education, salary on both), but nobody's data. Needs numpy and nothing else, so that checkers of
others can run it in environments of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ROWS: Final = 30_162
QUASI_IDENTIFIERS: Final = ("sex", "age", "race", "marital-status", "education", "native-country", "workclass")
COLUMNS: Final = (*QUASI_IDENTIFIERS, "occupation", "salary-class")
Codes = NDArray[np.int64]

# value, its groups from fine to coarse, its weight
_SEX: Final = (("female", "*", 324), ("male", "*", 676))
_RACE: Final = (("white", "*", 860), ("black", "*", 93), ("asian", "*", 30), ("other", "*", 8), ("native", "*", 9))
_MARITAL: Final = (
    ("married", "with spouse", "*", 466), ("single", "without spouse", "*", 322),
    ("divorced", "without spouse", "*", 140), ("separated", "without spouse", "*", 31),
    ("widowed", "without spouse", "*", 27), ("spouse away", "with spouse", "*", 13),
    ("spouse in service", "with spouse", "*", 1),
)  # fmt: skip
_EDUCATION: Final = tuple(
    (name, group, tier, "*", weight)
    for tier, group, members in (
        ("basic", "primary", (("no school", 2), ("grade 4", 5), ("grade 6", 10), ("grade 8", 18))),
        ("basic", "unfinished", (("grade 9", 15), ("grade 10", 27), ("grade 11", 35), ("grade 12", 13))),
        ("middle", "school", (("school leaver", 326), ("some college", 221))),
        ("middle", "vocational", (("trade school", 43), ("technical college", 33))),
        ("higher", "undergraduate", (("bachelor", 167),)),
        ("higher", "graduate", (("master", 54), ("professional", 18), ("doctor", 13))),
    )
    for name, weight in members
)
_COUNTRY: Final = (
    ("home", "america", "*", 91_000),
    *(
        (f"{region} {number}", region, "*", max(4, 2_000 // (number * number + place)))
        for place, (region, count) in enumerate((("america", 12), ("europe", 12), ("asia", 14), ("elsewhere", 2)))
        for number in range(1, count + 1)
    ),
)
_WORK: Final = (
    ("private", "private sector", "*", 739), ("self-employed", "private sector", "*", 83),
    ("incorporated", "private sector", "*", 36), ("local office", "public sector", "*", 69),
    ("state office", "public sector", "*", 42), ("federal office", "public sector", "*", 30),
    ("unpaid", "without pay", "*", 1),
)  # fmt: skip
_OCCUPATION: Final = (  # the last two: weight without and with higher education
    ("craft", "manual", "*", 165, 40), ("professional", "office", "*", 60, 330), ("manager", "office", "*", 90, 240),
    ("clerk", "office", "*", 140, 90), ("sales", "trade", "*", 112, 130), ("service", "trade", "*", 130, 40),
    ("machines", "manual", "*", 85, 10), ("transport", "manual", "*", 65, 10), ("labour", "manual", "*", 55, 8),
    ("technician", "office", "*", 25, 45), ("farming", "manual", "*", 40, 18), ("guard", "trade", "*", 21, 24),
    ("household", "trade", "*", 6, 1), ("army", "trade", "*", 1, 1),
)  # fmt: skip
_SALARY: Final = (("low", "*"), ("high", "*"))


def census(rows: int = ROWS, seed: int = 1) -> dict[str, list[Any]]:
    """Columns of values: `age` are integers, all others texts."""
    coded = codes(rows, seed)
    columns: dict[str, list[Any]] = {"age": coded.pop("age").tolist()}
    for name, places in coded.items():
        values = [row[0] for row in hierarchies()[name]]
        columns[name] = [values[place] for place in places]
    return {name: columns[name] for name in COLUMNS}


def codes(rows: int, seed: int) -> dict[str, Codes]:
    """The same as positions in `hierarchies`, where that is quicker; `age` as it is."""
    age = 17 + np.minimum(draw(rows, seed, 1, 72), draw(rows, seed, 2, 72))
    education = _pick(rows, seed, 4, [one[-1] for one in _EDUCATION])
    learned = education >= len(_EDUCATION) - 4
    marital = np.where((age < 25) & (draw(rows, seed, 5, 5) > 0), 1, _pick(rows, seed, 6, [m[-1] for m in _MARITAL]))
    plain, higher = (_pick(rows, seed, 7, [one[4] if place else one[3] for one in _OCCUPATION]) for place in (0, 1))
    chance = 60 + 220 * learned + 200 * (marital == 0) + 3 * np.clip(age - 17, 0, 35)
    return {
        "sex": _pick(rows, seed, 8, [one[-1] for one in _SEX]),
        "age": age,
        "race": _pick(rows, seed, 9, [one[-1] for one in _RACE]),
        "marital-status": marital,
        "education": education,
        "native-country": _pick(rows, seed, 10, [one[-1] for one in _COUNTRY]),
        "workclass": _pick(rows, seed, 11, [one[-1] for one in _WORK]),
        "occupation": np.where(learned, higher, plain),
        "salary-class": (draw(rows, seed, 12, 1_000) < chance).astype(np.int64),
    }


def hierarchies() -> dict[str, list[list[str]]]:
    """In ARX's form: a row for each value, from the value to the root."""
    tables: dict[str, Sequence[Sequence[Any]]] = {
        "sex": _SEX, "race": _RACE, "marital-status": _MARITAL, "education": _EDUCATION, "native-country": _COUNTRY,
        "workclass": _WORK, "occupation": _OCCUPATION, "salary-class": _SALARY,
    }  # fmt: skip
    rows = {name: [[cell for cell in one if isinstance(cell, str)] for one in table] for name, table in tables.items()}
    spans = [(age, [age - age % width for width in (5, 10, 20)], (5, 10, 20)) for age in range(1, 101)]
    ages = [
        [str(age), *(f"{lower}-{lower + width - 1}" for lower, width in zip(lowers, widths, strict=True)), "*"]
        for age, lowers, widths in spans
    ]
    return {"age": ages, **rows}


def _pick(rows: int, seed: int, column: int, weights: Sequence[int]) -> Codes:
    """Positions in the weights, each as often as its weight says."""
    bounds = np.cumsum(np.array(weights, dtype=np.int64))
    return np.searchsorted(bounds, draw(rows, seed, column, int(bounds[-1])), side="right").astype(np.int64)


def draw(rows: int, seed: int, column: int, below: int) -> Codes:
    """Integers from 0 to below a bound: splitmix64 of seed, column and row."""
    state = np.arange(1, rows + 1, dtype=np.uint64) + np.uint64((seed << 40) + (column << 32))
    state = state * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return (((state >> np.uint64(32)) * np.uint64(below)) >> np.uint64(32)).astype(np.int64)
