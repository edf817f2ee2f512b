"""Homes of fake services: the supervisor's behaviour in fractions of a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy import stack

FAKE = (sys.executable, str(Path(__file__).with_name("fake_service.py")))


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests must not leak in."""
    for name in ("HOME", "KAFKA", "POSTGRES", "S3", "MASTER_KEY", "MASTER_KEY_FILE", "JARS_URL"):
        monkeypatch.delenv(f"METAL_{name}", raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home; whatever a test leaves running in it is ended."""
    folder = tmp_path / "home"
    yield folder
    stack.down(folder)


def eventually(check: Callable[[], object], within: float = 10.0) -> None:
    """Wait until it is so."""
    until = time.monotonic() + within
    while not check():
        assert time.monotonic() < until, f"not so within {within} s"
        time.sleep(0.02)
