"""The generated census as ARX reads tables: `python -m benchmarks.checkers.arx_tables FOLDER`.

Writes `adult.csv` and `adult_hierarchy_*.csv`, the names that ARX's own files have, so that one driver reads both.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.census import census, hierarchies


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    columns = census()
    _write(folder / "adult.csv", [list(columns), *zip(*columns.values(), strict=True)])
    for name, rows in hierarchies().items():
        _write(folder / f"adult_hierarchy_{name}.csv", rows)


def _write(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";", lineterminator="\n").writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
