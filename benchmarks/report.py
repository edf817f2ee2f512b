"""The table of docs/benchmarks.md from what was measured: `python -m benchmarks.report results.json`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADINGS = ("benchmark", "figure", "target", "measured", "unit", "met")


def rows(documents: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """One for each figure."""
    for document in documents:
        for figure in document.get("figures", {}).values():
            met = {True: "yes", False: "no", None: ""}[figure.get("met")]
            value = f"{figure['value']:,}"
            yield document["benchmark"], figure["what"], figure.get("target", ""), value, figure["unit"], met


def table(documents: list[dict[str, Any]]) -> str:
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows(documents))])


def surroundings(documents: list[dict[str, Any]]) -> str:
    """One line for each benchmark: where and when it was measured."""
    return "\n".join(_measured_on(document) for document in documents)


def _measured_on(document: dict[str, Any]) -> str:
    machine, before, commit = document["machine"], document["load_before"], document["versions"]["commit"]
    return (
        f"- {document['benchmark']}: `{document['command']}`, {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gib']} GiB, load before {before[0]}, commit {commit}, {document['at']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="what metal bench --output wrote")
    given = parser.parse_args()
    documents = [one for path in given.results for one in json.loads(path.read_text())["benchmarks"]]
    print(table(documents), surroundings(documents), sep="\n\n")


if __name__ == "__main__":
    main()
