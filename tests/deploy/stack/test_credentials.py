"""Credentials and the master key: made once, mode 600, refused when others can read them."""

from __future__ import annotations

import base64
import errno
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy import stack
from deploy.stack.credentials import cluster_id, credentials
from deploy.stack.layout import Layout
from schemas.errors import Fatal

KEY = bytes(range(32))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_credentials_are_made_once_and_private(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path / "home").create()
    made = credentials(layout)
    assert credentials(layout) == made
    assert credentials(Layout.of(tmp_path / "other").create()) != made
    for name in ("credentials.json", "pgpass"):
        assert mode(layout.root / name) == 0o600
    assert made.postgres_password not in repr(made)
    (layout.root / "credentials.json").chmod(0o640)
    with pytest.raises(Fatal, match="chmod 600"):
        credentials(layout)


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    made = {cluster_id() for _ in range(500)}
    assert len(made) == 500
    assert not any(each.startswith("-") for each in made)
    assert {len(each) for each in made} == {22}


def test_the_master_key_is_made_once(tmp_path: Path) -> None:
    stack.ensure_master_key(tmp_path / "home")
    key = stack.master_key(tmp_path / "home")
    assert len(key) == 32
    stack.ensure_master_key(tmp_path / "home")
    assert stack.master_key(tmp_path / "home") == key
    assert mode(tmp_path / "home" / "master.key") == 0o600


@pytest.mark.parametrize("wide", [0o640, 0o604, 0o700])
def test_a_master_key_that_others_can_use_is_refused(tmp_path: Path, wide: int) -> None:
    stack.ensure_master_key(tmp_path / "home")
    (tmp_path / "home" / "master.key").chmod(wide)
    with pytest.raises(Fatal, match=rf"mode {wide:o}.*chmod 600"):
        stack.master_key(tmp_path / "home")


def test_a_master_key_that_an_engine_mounts_has_the_mode_that_the_engine_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "master_key"
    path.write_text(base64.b64encode(KEY).decode())
    path.chmod(0o444)
    monkeypatch.setenv("METAL_MASTER_KEY_FILE", str(path))
    with pytest.raises(Fatal, match="mode 444"):
        stack.master_key()
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert stack.master_key() == KEY


def test_a_master_key_that_can_t_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setenv("METAL_MASTER_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(Fatal, match="key can't be read: Permission denied"):
        stack.master_key()


def test_a_master_key_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METAL_MASTER_KEY", base64.b64encode(KEY).decode())
    stack.ensure_master_key(tmp_path / "home")
    assert stack.master_key(tmp_path / "home") == KEY
    assert not (tmp_path / "home").exists()


def test_a_master_key_from_a_named_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "key"
    monkeypatch.setenv("METAL_MASTER_KEY_FILE", str(path))
    with pytest.raises(Fatal, match="does not exist"):
        stack.master_key(tmp_path / "home")
    path.write_text(base64.b64encode(KEY).decode())
    path.chmod(0o400)
    assert stack.master_key(tmp_path / "home") == KEY


@pytest.mark.parametrize(("text", "message"), [("not base64!", "not base64"), ("c2hvcnQ=", "holds 5 bytes")])
def test_a_wrong_master_key_is_explained_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("METAL_MASTER_KEY", text)
    with pytest.raises(Fatal, match=message) as raised:
        stack.master_key()
    assert text not in str(raised.value)
