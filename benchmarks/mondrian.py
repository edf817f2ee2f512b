"""Mondrian in a process of its own, so that its memory is its own: `python -m benchmarks.mondrian KIND ROWS`.

KIND is `repeated` (a census again and again), `perturbed` (the same, most ages moved and one other value in twenty
drawn anew) or `plain`: the first by the plain Python reference. Prints seconds, peak memory and what was reached as
one JSON document. Seconds are from typed columns to a class for each row, encoding included. Where METAL_ADULT names
a folder with ARX's `adult.csv`, the census is that of the public Adult table, which is no part of this project.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks import plain_mondrian
from benchmarks.census import ROWS, census
from processors.privacy.domains.dimension import Dimension, Grain, Survey, dimension, encode, surveys
from processors.privacy.domains.points import Codes
from processors.privacy.groups.mondrian import Classes, classes
from schemas.task.model import Column

K: Final = 10
KINDS: Final = ("repeated", "perturbed", "plain")
QUASI_IDENTIFIERS: Final = (
    "age", "workclass", "education", "marital-status", "occupation", "race", "sex", "native-country",
)  # fmt: skip
PART: Final = 1_000_000  # rows whose texts are held at a time
YEARS: Final = 2  # which an age is moved by at most
ANEW: Final = 0.05


def part(kind: str, first: int, rows: int) -> pl.DataFrame:
    """So many rows of the table from one on."""
    people = _people()
    frame = people[np.arange(first, first + rows) % ROWS]
    if kind != "perturbed":
        return frame
    draw = np.random.default_rng(first)
    columns = [frame["age"] + pl.Series(draw.integers(-YEARS, YEARS + 1, rows))]
    for name in QUASI_IDENTIFIERS[1:]:
        other = people[name].gather(draw.integers(0, ROWS, rows))
        columns.append(frame[name].zip_with(pl.Series(draw.random(rows) >= ANEW), other))
    return pl.DataFrame(columns)


@cache
def _people() -> pl.DataFrame:
    adult = _adult()
    people = pl.DataFrame(census()) if adult is None else pl.read_csv(adult, separator=";")
    lacks = [name for name in QUASI_IDENTIFIERS if name not in people.columns]
    if lacks or people.height != ROWS:
        found = f"has {people.height:,} people and lacks {', '.join(lacks) or 'no column'}"
        raise SystemExit(f"{adult} {found}; ARX's file of the Adult table has {ROWS:,}")
    return people.select(QUASI_IDENTIFIERS).with_columns(pl.exclude("age").cast(pl.Categorical))


def _adult() -> Path | None:
    folder = os.environ.get("METAL_ADULT")
    if not folder:
        return None
    file = Path(folder) / "adult.csv"
    if not file.is_file():
        raise SystemExit(f"METAL_ADULT: there is no {file}; name the folder that holds ARX's adult.csv")
    return file


def whose() -> str:
    """Which census it is, and what tells it from others."""
    adult = _adult()
    return "generated" if adult is None else f"adult-{hashlib.sha256(adult.read_bytes()).hexdigest()[:12]}"


def encoded(kind: str, rows: int) -> tuple[list[Dimension], list[Codes], float]:
    """The domains, the codes and the seconds that surveying and encoding took; texts are held in parts."""
    spent, found = 0.0, {name: Survey() for name in QUASI_IDENTIFIERS}
    domains: dict[str, Dimension] = {}
    codes: dict[str, list[Codes]] = {name: [] for name in QUASI_IDENTIFIERS}
    for survey_only in (True, False):
        for first in range(0, rows, PART):
            frame = part(kind, first, min(PART, rows - first)).with_columns(pl.exclude("age").cast(pl.String))
            began = time.perf_counter()
            if survey_only:
                seen = surveys(frame, {name: _column(name).type for name in QUASI_IDENTIFIERS})
                found = {name: found[name].joined(seen[name]) for name in QUASI_IDENTIFIERS}
            else:
                for name, column in zip(QUASI_IDENTIFIERS, encode(domains, frame), strict=True):
                    codes[name].append(column)
            spent += time.perf_counter() - began
        domains = {name: dimension(_column(name), _grain(name), found[name]) for name in QUASI_IDENTIFIERS}
    return list(domains.values()), [np.concatenate(codes.pop(name)) for name in QUASI_IDENTIFIERS], spent


def _column(name: str) -> Column:
    return Column(type="int64" if name == "age" else "string")


def _grain(name: str) -> Grain:
    return Grain(step=1) if name == "age" else Grain()


def grouped(kind: str, rows: int) -> dict[str, Any]:
    """What is measured of one table."""
    told = by_plain_python(rows) if kind == "plain" else by_the_engine(kind, rows)
    return {"kind": kind, "rows": rows, "k": K, "census": whose(), **told}


def by_the_engine(kind: str, rows: int) -> dict[str, Any]:
    domains, codes, encoding = encoded(kind, rows)
    before = _peak()
    began = time.perf_counter()
    found = classes(domains, codes, K)
    grouping = time.perf_counter() - began
    if not isinstance(found, Classes):
        raise SystemExit(str(found))
    return {
        "seconds": encoding + grouping,
        "grouping_seconds": grouping,
        "peak_bytes": _peak(),
        "peak_bytes_before": before,
        "classes": len(found.rows),
        "least": int(found.rows.min()),
        "ncp": _ncp(domains, found.low, found.high, found.rows),
        "discernibility": int((found.rows**2).sum()),
    }


def by_plain_python(rows: int) -> dict[str, Any]:
    """The cut at the median; making rows of codes for it is not counted."""
    domains, codes, _ = encoded("repeated", rows)
    table = list(zip(*(column.tolist() for column in codes), strict=True))
    spans = [max(1, int(column.max()) - int(column.min())) for column in codes]
    began = time.perf_counter()
    parts = plain_mondrian.groups(
        table, lambda d, low, high: (high - low) / spans[d], plain_mondrian.around_median, lambda part: len(part) >= K
    )
    seconds = time.perf_counter() - began
    sizes = np.array([len(part) for part in parts])
    low, high = (
        [np.array([int(edge(column[part])) for part in parts]) for column in codes] for edge in (np.min, np.max)
    )
    return {
        "seconds": seconds,
        "classes": len(parts),
        "least": int(sizes.min()),
        "ncp": _ncp(domains, low, high, sizes),
        "discernibility": int((sizes**2).sum()),
    }


def _ncp(domains: Sequence[Dimension], low: Any, high: Any, sizes: Any) -> float:
    """By the range of the codes, as the public figures are."""
    lost = [float(one.width(a, b) @ sizes) for one, a, b in zip(domains, low, high, strict=True)]
    return sum(lost) / len(lost) / int(sizes.sum())


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("rows", type=int)
    given = parser.parse_args()
    print(json.dumps(grouped(given.kind, given.rows)))


if __name__ == "__main__":
    main()
