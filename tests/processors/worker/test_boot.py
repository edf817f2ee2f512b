"""Local state and the boots of the machine: what a crash may have damaged is not believed, what was synced is kept."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, cast

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from processors.worker import boot
from processors.worker.store import SegmentStore
from schemas.errors import Retriable

PLACE = TP("changelog", 2)
KEY = b"run|t|1|1"
THROWN_AWAY = "local state of another boot is thrown away and read again"


def opened(folder: Path) -> SegmentStore:
    return SegmentStore("segments://", cast(Any, None), cast(Any, None), table_name="state", folder=folder)


def filled(folder: Path) -> SegmentStore:
    store = opened(folder)
    store.put(2, KEY, b"rows")
    store.set_persisted_offset(PLACE, 7)
    return store


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "0" / "merge"


@pytest.fixture
def reboot(monkeypatch: pytest.MonkeyPatch) -> Any:
    def again(name: str = "another boot") -> None:
        monkeypatch.setattr(boot, "present", lambda: name)

    return again


def _stands(folder: Path) -> bool:
    store = opened(folder)
    offset = store.persisted_offset(PLACE)
    assert (offset is None) == (not store.entries(2))
    return offset is not None


def test_a_killed_process_loses_nothing(state: Path) -> None:
    filled(state)
    with capture_logs() as told:
        assert _stands(state)
    assert told == []


def test_after_a_crash_of_the_machine_all_is_read_again_and_it_is_said(state: Path, reboot: Any) -> None:
    filled(state)
    reboot()
    with capture_logs() as told:
        assert not _stands(state)
    assert [(one["event"], one["log_level"]) for one in told] == [(THROWN_AWAY, "info")]
    filled(state)
    assert _stands(state)


@pytest.mark.parametrize("noted", [None, b"", b"\xff\xfe", b"an older boot"])
def test_a_folder_without_a_note_that_holds_is_read_again(state: Path, noted: bytes | None) -> None:
    filled(state)
    if noted is None:
        (state / "boot").unlink()
    else:
        (state / "boot").write_bytes(noted)
    assert not _stands(state)


def test_an_orderly_stop_keeps_the_state_over_a_boot(state: Path, reboot: Any) -> None:
    asyncio.run(filled(state).on_stop())
    reboot()
    assert _stands(state)


def test_the_mark_of_an_orderly_stop_is_gone_with_the_next_start(state: Path, reboot: Any) -> None:
    asyncio.run(filled(state).on_stop())
    opened(state)
    reboot()
    assert not _stands(state)


def test_what_comes_after_the_stop_is_left_to_the_log(state: Path) -> None:
    store = filled(state)
    asyncio.run(store.on_stop())
    with pytest.raises(Retriable):  # what cannot stand here must not pass for done
        store.put(2, b"run|t|2|2", b"late")
    store.remove(2, KEY)
    store.wrote(PLACE, 8)
    again = opened(state)
    assert again.entries(2) == {KEY: 4}
    assert again.persisted_offset(PLACE) == 7


def test_a_store_that_starts_again_writes_again(state: Path, reboot: Any) -> None:
    store = filled(state)

    async def stop_and_start() -> None:
        await store.on_stop()
        await store.on_start()

    asyncio.run(stop_and_start())
    store.wrote(PLACE, 8)
    assert opened(state).persisted_offset(PLACE) == 8
    reboot()
    assert not _stands(state)


def test_everything_is_synced_before_it_is_said(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(state)
    synced: list[tuple[int, str]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, (state / "boot").read_text()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    asyncio.run(store.on_stop())
    before = {inode for inode, noted in synced if noted == boot.present()}
    assert before >= {path.stat().st_ino for path in state.rglob("*")}
    assert synced[-1] == (state.stat().st_ino, "synced")


def test_a_disk_that_does_not_sync_leaves_no_mark(state: Path, reboot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(state)

    def fsync(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken, capture_logs() as told:
        broken.setattr(os, "fsync", fsync)
        asyncio.run(store.on_stop())
    assert [one["log_level"] for one in told] == ["warning"]
    reboot()
    assert not _stands(state)


def test_state_that_is_reset_is_noted_again(state: Path) -> None:
    store = filled(state)
    store.reset_state()
    store.set_persisted_offset(PLACE, 1)
    assert opened(state).persisted_offset(PLACE) == 1


def test_this_boot_has_a_name_also_where_the_kernel_tells_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert boot.present() == boot.present() != ""
    monkeypatch.setattr(boot, "_LINUX", tmp_path / "none")
    assert boot.present().startswith("since ")
