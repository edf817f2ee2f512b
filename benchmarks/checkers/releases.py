"""Releases of the Adult table to be attacked, and what an attacker makes of them.

    .venv/bin/python -m benchmarks.checkers.releases ADULT FOLDER

ADULT holds ARX's `data/adult.csv` and `data/adult_hierarchy_*.csv`, which are no part of this project; into FOLDER go
the tables that `anonymeter_values` reads, and `cases.json`, which tells of them. CONTROL rows are held out: they are of
no release. The attacker knows the hierarchies and how often the table has each value. anonymeter compares values, and a
release has groups of them, so each group is written as values, in every way that could serve the attacker:

- `groups`: the value that is most frequent in the table, of an age the middle of its range; each group of equal rows
  stands once, so that whoever finds the group has found the record;
- `drawn`: a value drawn as often as the table has it;
- `levels`: the groups as they are, each once, and what the attacker knows of people brought to the same levels. That
  needs each value to be of one group, which full-domain releases have.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

import processors.anonymize
from benchmarks.census import draw
from benchmarks.checkers.arx_optimum import read
from processors.anonymize.protocol import Anonymization
from processors.anonymize.runner import compile_methods
from processors.privacy.domains.levels import Levels
from processors.privacy.search.demands import Demands
from processors.privacy.search.lattice import released, search
from processors.privacy.search.walk import Optimum
from schemas.discovery import discover
from schemas.task.model import Column, Method

CONTROL: Final = 5_000
AGE: Final = "age"
SENSITIVE: Final = "salary-class"
K_MONDRIAN: Final = 10
K_FULL_DOMAIN: Final = 5
SUPPRESSED: Final = 0.04
SEED: Final = 20
WRITTEN: Final = ("groups", "drawn")
Rows = list[list[str]]


@dataclass(frozen=True)
class Release:
    """As published. `levels` are those of a full-domain release."""

    name: str
    k: int
    frame: pl.DataFrame
    suppressed: int
    levels: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Case:
    """One attack's tables."""

    name: str
    original: pl.DataFrame
    control: pl.DataFrame
    release: pl.DataFrame


def split(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is released, and what is held out."""
    chance = pl.Series(draw(frame.height, SEED, 0, 2**31))
    held = chance.rank("ordinal") <= min(CONTROL, frame.height // 4)
    return frame.filter(~held), frame.filter(held)


def releases(table: pl.DataFrame, levels: Mapping[str, Levels], trees: Mapping[str, Rows]) -> Iterator[Release]:
    """Groups that a task asks for, by the values' own order and by hierarchies, and the best of full domains."""
    quasi_identifiers = [name for name in table.columns if name != SENSITIVE]
    by_tree = {name: {"rows": rows} for name, rows in trees.items() if name in quasi_identifiers and name != AGE}
    for name, grain in (("mondrian", {}), ("mondrian, hierarchies", by_tree)):
        frame = _grouped(table, quasi_identifiers, {AGE: {"step": 1}, **grain})
        yield Release(name, K_MONDRIAN, frame, table.height - frame.height)
    chosen = {name: levels[name] for name in quasi_identifiers}
    found = search(table, chosen, Demands(k=K_FULL_DOMAIN), SUPPRESSED)
    if not isinstance(found, Optimum):
        raise SystemExit(f"no combination of levels was found: {found}")
    yield Release("full domain", K_FULL_DOMAIN, released(table, chosen, found), found.suppressed, found.levels)


def _grouped(table: pl.DataFrame, quasi_identifiers: Sequence[str], grain: Mapping[str, Any]) -> pl.DataFrame:
    """By the method of a task, as a run forms groups."""
    columns = {name: Column(type="int64" if name == AGE else "string") for name in table.columns}
    method = Method(method="generalize", quasi_identifiers=list(quasi_identifiers), k=K_MONDRIAN, grain=grain)
    methods = compile_methods("adult", columns, [method], discover(processors.anonymize, Anonymization))
    typed = table.with_columns(pl.col(AGE).cast(pl.Int64))
    frame, _ = methods.form(typed, pl.int_range(table.height, eager=True), bytes(range(32)), False)
    return frame.select(table.columns)


def cases(
    frame: pl.DataFrame, levels: Mapping[str, Levels], trees: Mapping[str, Rows]
) -> Iterator[tuple[Release, Case]]:
    """Every release, written in every way; ages are texts here and numbers to who reads the tables."""
    original, control = split(frame)
    for release in releases(original, levels, trees):
        for written in WRITTEN:
            guessed = values(release.frame, original, trees, written)
            yield release, Case(f"{release.name}; {written}", original, control, guessed)
        if release.levels is not None:
            known = (_brought(people, levels, release.levels) for people in (original, control))
            yield release, Case(f"{release.name}; levels", *known, release.frame.unique(maintain_order=True))


def values(release: pl.DataFrame, table: pl.DataFrame, trees: Mapping[str, Rows], written: str) -> pl.DataFrame:
    """The release with a value of the table in each cell."""
    columns = []
    for place, name in enumerate(release.columns):
        counts = dict(table[name].value_counts().iter_rows())
        chances = draw(release.height, SEED, 1 + place, 2**31) / 2**31
        columns.append(_values(release[name], counts, trees.get(name, []), chances if written == "drawn" else None))
    guessed = pl.DataFrame(columns)
    return guessed.unique(maintain_order=True) if written == "groups" else guessed


def _values(groups: pl.Series, counts: Mapping[str, int], rows: Rows, chances: Any | None) -> pl.Series:
    out = np.empty(len(groups), dtype=object)
    for group in groups.unique():
        own = (groups == group).to_numpy()
        leaves = leaves_of(group, list(counts), rows)
        if chances is not None:
            weights = np.cumsum([counts[leaf] for leaf in leaves])
            places = np.searchsorted(weights, chances[own] * weights[-1], side="right")
            out[own] = np.array(leaves, dtype=object)[places]
        elif groups.name == AGE:
            out[own] = str((min(map(int, leaves)) + max(map(int, leaves))) // 2)
        else:
            out[own] = max(leaves, key=lambda leaf: (counts[leaf], leaf))
    return pl.Series(groups.name, out.tolist(), dtype=pl.String)


def leaves_of(group: str, values: Sequence[str], rows: Rows) -> list[str]:
    """The table's values that a published cell may stand for, in order."""
    if group == "*":
        return sorted(values)
    if ".." in group:
        low, high = map(int, group.split(".."))
        return sorted(value for value in values if low <= int(value) <= high)
    parts = set(group.split("|"))
    under = {row[0] for row in rows if parts & set(row)} | parts
    found = sorted(value for value in values if value in under)
    if not found:
        raise SystemExit(f"{group} stands for no value of the table")
    return found


def _brought(people: pl.DataFrame, levels: Mapping[str, Levels], chosen: Mapping[str, int]) -> pl.DataFrame:
    return people.with_columns(
        levels[name].named(levels[name].encode(people[name]), level).alias(name) for name, level in chosen.items()
    )


def write(adult: Path, folder: Path) -> None:
    frame, levels = read(adult)
    trees = {name: _tree(adult / f"adult_hierarchy_{name}.csv") for name in frame.columns}
    folder.mkdir(parents=True, exist_ok=True)
    told: list[dict[str, Any]] = []
    for number, (release, case) in enumerate(cases(frame, levels, trees)):
        files = {part: f"{number}-{part}.csv" for part in ("original", "control", "release")}
        for part, file in files.items():
            getattr(case, part).write_csv(folder / file)
        told.append({"case": case.name, "files": files, **_about(release), "written_rows": case.release.height})
    document = {
        "sha256_of_adult_csv": hashlib.sha256((adult / "adult.csv").read_bytes()).hexdigest(),
        "rows": {"released": told[0]["rows"] + told[0]["suppressed"], "control": CONTROL},
        "cases": told,
    }
    (folder / "cases.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _about(release: Release) -> dict[str, Any]:
    quasi_identifiers = [name for name in release.frame.columns if name != SENSITIVE]
    sizes = release.frame.group_by(quasi_identifiers).len()["len"]
    return {
        "k": release.k,
        "k_reached": sizes.min(),
        "groups": len(sizes),
        "rows": release.frame.height,
        "suppressed": release.suppressed,
    }


def _tree(path: Path) -> Rows:
    return [line.split(";") for line in path.read_text(encoding="utf-8").splitlines() if line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adult", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    write(given.adult, given.folder)


if __name__ == "__main__":
    main()
