"""Fixtures that every test may ask for: a running stack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run side by side, those with servers follow one another, and the cores' stand beside them."""
    here = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(here).parts[0]
        if folder not in ALONE or item.get_closest_marker("stack"):
            item.add_marker(pytest.mark.xdist_group("servers"))


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
