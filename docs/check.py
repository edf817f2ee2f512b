"""Checks that the documentation is true: `python -m docs.check`. Exit code 1 when something is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from docs.catalogue import check_catalogue
from docs.citations import check_citations
from docs.command_line import load_commands
from docs.house import check_house
from docs.licences import check_licences
from docs.project import Finding, Project
from docs.records import check_pages, check_records
from docs.requirement_ids import check_requirements
from docs.snippets import check_snippets


def findings(project: Project) -> Iterator[Finding]:
    yield from check_citations(project, load_commands())
    yield from check_requirements(project)
    yield from check_pages(project)
    yield from check_records(project)
    yield from check_snippets(project)
    yield from check_house(project)
    yield from check_catalogue(project)
    yield from check_licences(project)


def main() -> int:
    found = sorted(findings(Project(Path(__file__).resolve().parent.parent)), key=lambda one: (one.file, one.line))
    for finding in found:
        print(finding)
    errors = sum(one.severity == "error" for one in found)
    print(f"docs: {errors} errors, {len(found) - errors} warnings")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
