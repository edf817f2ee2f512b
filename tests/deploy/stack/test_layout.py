"""The home: foreign folders are refused, files appear whole, locks hold across processes."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.stack import layout
from deploy.stack.layout import Layout, locked, read_json, write_atomic, write_json
from schemas.errors import Fatal, Retriable


def test_a_folder_of_something_else_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(Fatal, match="is not a home of METAL"):
        Layout.of(tmp_path).create()
    Layout.of(tmp_path).purge()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_home_that_many_make_at_once_is_theirs(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for turn in range(200):
            root = tmp_path / str(turn)
            made = list(pool.map(lambda _, root=root: Layout.of(root).create(), range(4)))
            assert {layout.root for layout in made} == {root}


def test_nobody_else_can_look_into_a_home(tmp_path: Path) -> None:
    root = Layout.of(tmp_path / "home").create().root
    assert stat.S_IMODE(root.stat().st_mode) & 0o066 == 0
    assert stat.S_IMODE((root / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "logs").stat().st_mode) == 0o700


def test_a_path_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match="set METAL_HOME"):
        Layout.of(tmp_path / "file" / "home").create()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"a": 1})
    monkeypatch.setattr(layout.os, "fsync", _fail)
    with pytest.raises(OSError, match="planted"):
        write_atomic(path, "half")
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{")
    with pytest.raises(Fatal, match=r"ports\.json is damaged"):
        read_json(tmp_path / "ports.json")


def test_a_lock_excludes_other_processes_until_its_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys; from pathlib import Path; from deploy.stack.layout import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Retriable, match="another process holds"), locked(path, timeout=0):
            pass
        holder.kill()
        holder.wait()
        with locked(path, timeout=1):
            pass


def test_little_free_space_is_named_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "LEAST_FREE", 1 << 62)
    with pytest.raises(Fatal, match=r"the disk of .* is full: \d+ MiB are free"):
        Layout.of(tmp_path / "home").create().check_space()


def _fail(fd: int) -> None:
    raise OSError("planted")
