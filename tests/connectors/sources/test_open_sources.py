"""Secrets are taken from where the task says, and what is missing is told without a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.sources.open_sources import open_source, resolve_secret
from schemas.errors import Fatal
from schemas.task.model import Task


def test_a_secret_of_the_run_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLACE", "here")
    assert resolve_secret({"env": "PLACE"}, {"PLACE": "there"}, tmp_path) == "there"
    assert resolve_secret({"env": "PLACE"}, {}, tmp_path) == "here"


def test_a_secret_in_a_file_is_relative_to_the_task(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("quiet\n")
    assert resolve_secret({"file": "word"}, {}, tmp_path) == "quiet"


@pytest.mark.parametrize("plain", ["text", 5, None, ["env"], {}, {"env": "A", "file": "b"}, {"other": "x"}])
def test_everything_else_stays(plain: Any, tmp_path: Path) -> None:
    assert resolve_secret(plain, {}, tmp_path) == plain


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    with pytest.raises(Fatal, match="ABSENT is not set"):
        resolve_secret({"env": "ABSENT"}, {"OTHER": "value"}, tmp_path)
    with pytest.raises(Fatal, match=r"secret file none can't be read: No such file"):
        resolve_secret({"file": "none"}, {}, tmp_path)


def test_a_connector_that_is_not_there_is_named(tmp_path: Path) -> None:
    table = {"columns": {"a": {"type": "string"}}, "sources": {"s": {"connector": "fax"}}}
    task = Task.model_validate({"task": "t", "tables": {"t": table}})
    with pytest.raises(Fatal, match=r"tables\.t\.sources\.s: there is no connector 'fax'"):
        open_source(task, "t", "s", tmp_path, {}, {}, {})
