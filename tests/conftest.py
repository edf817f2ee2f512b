"""Fixtures that every test may ask for: a running stack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from deploy import stack as embedded
from deploy.stack import Endpoints

# A shared machine decides how long an example takes; what an example shows does not depend on it.
hypothesis.settings.register_profile("metal", deadline=None, print_blob=True)
hypothesis.settings.load_profile("metal")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--fault-rounds", type=int, default=5, help="How often each process is killed.")
    group.addoption("--fault-seed", type=int, default=None, help="Draws the moments of faults; printed when not given.")


ALONE = ("processors", "schemas", "contracts", "corpora", "docs")  # cores: they need no servers, nor time
LONG = ("faults", "integration", "memory")  # they wait for servers that die, as long as all other tests take


class Beside(LoadScopeScheduling):
    """Tests with servers stay in one of two processes each; files of tests of cores go to whoever has room."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        folder = Path(file).parts[1]
        return file if folder in ALONE else "faults" if folder in LONG else "servers"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Beside:
    return Beside(config, log)


@pytest.fixture(scope="session")
def stack_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the session's stack."""
    return tmp_path_factory.mktemp("stack") / "home"


@pytest.fixture(scope="session")
def stack(stack_home: Path) -> Iterator[Endpoints]:
    """Kafka and PostgreSQL, started once; METAL_TEST_STACK=containers takes the official images instead."""
    if os.environ.get("METAL_TEST_STACK") == "containers":
        from tests.containers import running

        with running() as endpoints:
            yield endpoints
        return
    try:
        embedded.up(stack_home, {"kafka", "postgres"})
        yield embedded.endpoints(stack_home)
    finally:
        embedded.down(stack_home, purge=True)
