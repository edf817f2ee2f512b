"""What is prepared depends on the records read, not on how they were read, cut, placed or shared out."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fixtures import People
from tests.faults.rig import Rig
from tests.oracle import prepare
from tests.oracle.prepare import load_task
from tests.oracle.reading import csv_records

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("partitions", [1, 3, 8])
def test_partitions(rig: Rig, small: People, partitions: int) -> None:
    run = rig.start(small.task(f"parts{partitions}", partitions=partitions))
    rig.wait(run)
    rig.check(run, small.oracle)


def test_three_workers_and_two_connects(rig: Rig, small: People) -> None:
    rig.scale(worker=3, connect=2)
    try:
        run = rig.start(small.task("shared", partitions=8))
        rig.wait(run)
        rig.check(run, small.oracle)
    finally:
        rig.scale(worker=1, connect=1)


def _spread(records: list[dict[str, Any] | None], folder: Path, files: int, draw: random.Random) -> None:
    """The same records in another order, in so many files of unequal size."""
    folder.mkdir(parents=True)
    whole = [record for record in records if record is not None]
    draw.shuffle(whole)
    cuts = sorted(draw.sample(range(1, len(whole)), files - 1))
    for n, (a, b) in enumerate(zip([0, *cuts], [*cuts, len(whole)], strict=True)):
        with (folder / f"{n}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(whole[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(whole[a:b])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_and_number_of_files(rig: Rig, small: People, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    for name in ("crm", "erp"):
        records = list(csv_records(small.folder / "data" / f"{name}.csv"))
        _spread(records, tmp_path / "data" / name, draw.randint(2, 9), draw)
    task = tmp_path / f"spread{seed}.task.yaml"
    text = small.text.replace("task: people", f"task: spread{seed}")
    task.write_text(text.replace("data/crm.csv", "data/crm").replace("data/erp.csv", "data/erp"))
    run = rig.start(task)
    rig.wait(run)
    rig.check(run, small.oracle)


STRATEGIES = {
    "prefer_other": "{prefer: [erp, crm]}",
    "drop_all": "drop_all",
    "keep_all": "keep_all",
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy(rig: Rig, small: People, strategy: str) -> None:
    path = small.task(strategy, partitions=3)
    path.write_text(path.read_text().replace("{prefer: [crm, erp]}", STRATEGIES[strategy]))
    run = rig.start(path)
    rig.wait(run)
    rig.check(run, prepare(load_task(path), small.folder))


def test_without_a_key_every_record_is_kept(rig: Rig, small: People) -> None:
    path = small.task("keyless", partitions=3)
    lines = [line for line in path.read_text().splitlines() if "primary_key" not in line and "{method" not in line]
    path.write_text("\n".join(line for line in lines if "anonymize" not in line) + "\n")
    run = rig.start(path)
    rig.wait(run)
    rig.check(run, prepare(load_task(path), small.folder))


def test_many_sources(rig: Rig, small: People, tmp_path: Path) -> None:
    """Eight sources of one table, each its own rank."""
    draw = random.Random(8)
    records = list(csv_records(small.folder / "data" / "crm.csv")) + list(
        csv_records(small.folder / "data" / "erp.csv")
    )
    _spread(records, tmp_path / "data", 8, draw)
    names = [f"s{n}" for n in range(8)]
    sources = "".join(f"      s{n}: {{connector: csv, path: data/{n}.csv}}\n" for n in range(8))
    head, _, rest = small.text.partition("      crm: ")
    text = head + sources + rest[rest.index("    anonymize") :]
    path = tmp_path / "eight.task.yaml"
    path.write_text(text.replace("task: people", "task: eight").replace("[crm, erp]", f"[{', '.join(names)}]"))
    run = rig.start(path)
    rig.wait(run)
    rig.check(run, prepare(load_task(path), tmp_path))
