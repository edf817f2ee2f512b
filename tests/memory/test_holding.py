"""What the engine holds follows its pieces, not the data: many times as much data, hardly more memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from deploy.stack.roster import environment
from processors.segments.format import build
from processors.worker.cleanse import BLOCK_ROWS
from processors.worker.ledger import Progress, pack
from schemas.columns import HASH
from tests.memory.holding import KEY

ROWS = 40_000
TEXT = "a text of some eighty characters that tells nothing, about the record numbered "
MORE = 48 << 20
RANGE = 64 << 20  # of a close: a full range is larger than all rows of few segments


def held(*given: object) -> int:
    """As the stack runs its services, in a process that holds nothing else."""
    command = [sys.executable, "-m", "tests.memory.holding", *map(str, given)]
    told = environment(Path("unused"), 0, [0])
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hashes = np.sort(np.random.default_rng(1).integers(0, 2**64, ROWS, dtype=np.uint64))
    frame = pl.DataFrame({HASH: hashes, "id": range(ROWS)}).with_columns(
        (TEXT + pl.col("id").cast(pl.String)).alias("text")
    )
    path = tmp_path_factory.mktemp("state") / "entry"
    path.write_bytes(pack(Progress(), build(frame, KEY, BLOCK_ROWS)))
    return path


def test_a_close_holds_pieces_of_its_segments(entry: Path) -> None:
    little, much = held("walked", entry, 8), held("walked", entry, 80)
    assert 72 * ROWS * len(TEXT) > 3 * RANGE
    assert much - little < RANGE


def test_a_source_holds_pieces_of_a_file(tmp_path: Path) -> None:
    for name, records in (("little.csv", 250_000), ("much.csv", 2_000_000)):
        frame = pl.DataFrame({"id": range(records)}).with_columns((TEXT + pl.col("id").cast(pl.String)).alias("text"))
        frame.write_csv(tmp_path / name)
    assert os.path.getsize(tmp_path / "much.csv") > 3 * MORE
    assert held("read", tmp_path / "much.csv") - held("read", tmp_path / "little.csv") < MORE
