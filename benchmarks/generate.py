"""Writes test data: `python -m benchmarks.generate people FOLDER --records 2000000 --seed 1`."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from benchmarks import people, shop


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["people", "shop"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, default=2_000_000, help="of all sources together (shop: orders)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clean", action="store_true", help="without unreadable values, traps and duplicates")
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    if given.what == "people":
        trouble = people.NONE if given.clean else people.Trouble()
        size = people.write(given.folder, given.records, given.seed, trouble)
    else:
        size = shop.write(given.folder, given.records, given.seed)
    seconds = round(time.perf_counter() - began, 2)
    print(json.dumps({"records": given.records, "bytes": size, "seed": given.seed, "seconds": seconds}))


if __name__ == "__main__":
    main()
