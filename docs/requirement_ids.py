"""`docs/requirements.md` tells of every requirement once: how far it is, where, and which test shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from docs.project import Finding, Project

PAGE: Final = "docs/requirements.md"
FAMILIES: Final = {
    "T": 1,
    "F": 3,
    "K": 2,
    "X": 1,
    "A": 8,
    "C": 1,
    "M": 5,
    "S": 4,
    "G": 7,
    "V": 6,
    "P": 7,
    "Q": 4,
    "O": 6,
    "N": 6,
}
IDS: Final = tuple(f"R-{family}{n}" for family, count in FAMILIES.items() for n in range(1, count + 1))
STATES: Final = ("done", "part", "open")
_ID: Final = re.compile(r"\bR-[A-Z]\d+\b")
_TEST: Final = re.compile(r"`tests/[^`]+`")


def check_requirements(project: Project) -> Iterator[Finding]:
    if not project.exists(PAGE):
        yield Finding(PAGE, 1, "is missing")
        return
    seen: dict[str, int] = {}
    for number, line in enumerate(project.read(PAGE).splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")] if line.startswith("|") else []
        if not cells or not _ID.fullmatch(cells[0]):
            continue
        if cells[0] in seen:
            yield Finding(PAGE, number, f"{cells[0]} stands in line {seen[cells[0]]} already")
        seen[cells[0]] = number
        yield from _row(number, cells)
    for missing in (name for name in IDS if name not in seen):
        yield Finding(PAGE, 1, f"{missing} is missing")
    yield from _cited_elsewhere(project)


def _row(number: int, cells: list[str]) -> Iterator[Finding]:
    if len(cells) != 5:
        yield Finding(PAGE, number, f"{cells[0]}: five cells are id, what, state, where, test; there are {len(cells)}")
        return
    name, _, told, where, test = cells
    state, _, missing = told.partition(": ")
    if state not in STATES:
        yield Finding(PAGE, number, f"{name}: the state is {state!r}; states are {', '.join(STATES)}")
    if state == "part" and not missing:
        yield Finding(PAGE, number, f"{name}: part of what? say what is missing")
    if state == "done" and not _TEST.search(test):
        yield Finding(PAGE, number, f"{name}: done without a test that shows it")
    if state != "open" and "`" not in where:
        yield Finding(PAGE, number, f"{name}: {state} without a file that does it")


def _cited_elsewhere(project: Project) -> Iterator[Finding]:
    """An id that is written anywhere has to be one of the list."""
    known = set(IDS)
    for file in project.files(".md", ".py", ".sql", ".yaml", ".yml"):
        if file.startswith("tests/docs/"):
            continue  # these make mistakes on purpose
        for number, line in enumerate(project.read(file).splitlines(), 1):
            for name in _ID.findall(line):
                if name not in known:
                    yield Finding(file, number, f"{name} is no requirement")
