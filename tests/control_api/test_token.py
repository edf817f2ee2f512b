from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from control_api.token import NAME, ensure_token, read_token
from schemas.errors import Fatal


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METAL_API_TOKEN", raising=False)


def test_it_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert read_token(home) is None
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: ensure_token(home), range(4)))
    assert made == {read_token(home)}
    assert stat.S_IMODE((home / NAME).stat().st_mode) == 0o600
    assert len(made.pop() or "") > 30


def test_one_that_others_can_read_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ensure_token(home)
    (home / NAME).chmod(0o644)
    with pytest.raises(Fatal, match="chmod 600"):
        read_token(home)


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_token(tmp_path / "home")
    monkeypatch.setenv("METAL_API_TOKEN", "given")
    assert ensure_token(tmp_path / "home") == "given"
