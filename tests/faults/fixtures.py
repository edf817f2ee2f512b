"""Fixtures of the tests that need a stack of their own, for each folder's conftest.py to import."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import people
from tests.faults.rig import Rig
from tests.oracle import Oracle, prepare
from tests.oracle.prepare import load_task

CONTRACT = Path(__file__).parents[2] / "examples" / "people" / "people.task.yaml"


@pytest.fixture(scope="package")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    before = dict(os.environ)
    rig = Rig(tmp_path_factory.mktemp("rig") / "home")
    try:
        rig.up()
        yield rig
    finally:
        rig.down()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def rig(shared_rig: Rig) -> Iterator[Rig]:
    """The folder's stack, all of it ready; what a test leaves running is stopped behind it."""
    shared_rig.ready()
    yield shared_rig
    shared_rig.up()
    for run in shared_rig.query("SELECT run FROM metal.runs WHERE ended_at IS NULL"):
        shared_rig.call("POST", f"/runs/{run['run']}/stop", {})


@pytest.fixture(scope="session")
def fault_seed(request: pytest.FixtureRequest) -> int:
    given: int | None = request.config.getoption("--fault-seed")
    seed = random.SystemRandom().randrange(2**32) if given is None else given
    print(f"--fault-seed={seed}")
    return seed


@pytest.fixture(scope="session")
def fault_rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fault-rounds"))


class People:
    """The contract's people over generated files, and what the oracle says of them."""

    def __init__(self, folder: Path, records: int, seed: int) -> None:
        self.folder = folder
        people.write(folder / "data", records, seed=seed, mixed_ends=True)
        self.text = CONTRACT.read_text()
        self.oracle: Oracle = prepare(load_task(CONTRACT), folder)

    def task(self, name: str, **keys: object) -> Path:
        """The same task under another name and with further keys."""
        path = self.folder / f"{name}.task.yaml"
        further = "".join(f"{key}: {value}\n" for key, value in keys.items())
        path.write_text(self.text.replace("task: people\n", f"task: {name}\n{further}"))
        return path


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("people"), 20_000, seed=11)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> People:
    """Large enough that faults hit it while it runs."""
    return People(tmp_path_factory.mktemp("people"), 120_000, seed=12)
