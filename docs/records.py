"""Pages stand in an index. Decision records are also numbered without repetition, dated, and of one shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from docs.pages import read_page
from docs.project import Finding, Project

FOLDER: Final = "docs/adr"
INDEX: Final = "docs/adr/README.md"
PAGES: Final = "docs/README.md"
LONGEST: Final = 60  # lines: a page
_NAME: Final = re.compile(r"^(\d{4})-[a-z0-9-]+\.md$")
_DATE: Final = re.compile(r"^Date: \d{4}-\d{2}-\d{2}\. Status: (?:accepted|superseded by \d{4})\.$", re.M)


def check_records(project: Project) -> Iterator[Finding]:
    records = [name for name in project.files(".md") if name.startswith(f"{FOLDER}/") and name != INDEX]
    linked = _linked(project, INDEX)
    numbers: dict[str, str] = {}
    for file in records:
        name = file.removeprefix(f"{FOLDER}/")
        match = _NAME.match(name)
        if not match:
            yield Finding(file, 1, "a record's name is NNNN-what-it-decides.md")
            continue
        number, text = match.group(1), project.read(file)
        if number in numbers:
            yield Finding(file, 1, f"{numbers[number]} has the same number")
        numbers[number] = file
        if name not in linked:
            yield Finding(file, 1, f"{INDEX} does not tell of it")
        if not text.startswith(f"# {int(number)}. "):
            yield Finding(file, 1, f"its heading begins with `# {int(number)}. `")
        if not _DATE.search(text):
            yield Finding(file, 1, "a line `Date: YYYY-MM-DD. Status: accepted.` is missing")
        if text.count("\n") > LONGEST:
            yield Finding(file, LONGEST, "is longer than a page", "warning")


def check_pages(project: Project) -> Iterator[Finding]:
    """Every page that is no record stands in the index of pages."""
    linked = _linked(project, PAGES)
    for file in project.files(".md"):
        name = file.removeprefix("docs/")
        if file.startswith("docs/") and "/" not in name and file != PAGES and name not in linked:
            yield Finding(file, 1, f"{PAGES} does not tell of it")


def _linked(project: Project, index: str) -> set[str]:
    return {target for _, target in read_page(project.read(index)).links} if project.exists(index) else set()
