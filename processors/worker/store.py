"""Local files of a segment table: one file an entry, one folder a partition, the changelog's offset beside them.

The log is the truth; these files only spare reading it again. A file is written beside and renamed, so it is whole or
not there. Entries are bytes that are sealed already. What is not understood is thrown away and read from the log again,
and so is what a crash of the machine has left: nothing here waits for the disk (see boot.py).
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import structlog
from faust.stores.base import Store
from faust.types import TP

from processors.worker import boot
from processors.worker.ending import end_process
from processors.worker.ledger import Name
from schemas.errors import Retriable

log = structlog.get_logger()

_OFFSET = "offset"
_LONGEST = 180  # of a key: longer ones make no file name


def _file_name(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode() + ".seg"


def _key_of(name: str) -> bytes:
    return base64.urlsafe_b64decode(name.removesuffix(".seg"))


def _understood(key: bytes | None) -> bool:
    try:
        return key is not None and len(key) <= _LONGEST and Name.parse(key).key() == key
    except ValueError:
        return False


class SegmentStore(Store[bytes, bytes]):
    """Bytes by key and partition, on disk."""

    def __init__(self, *args: Any, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        self._known: dict[int, dict[bytes, int]] = {}  # partition -> key -> size
        self._offsets: dict[int, int] = {}  # partition -> the changelog's offset that stands here
        self.on_change: Callable[[set[int]], None] = lambda _: None
        self._left = False  # the folder is synced: what comes late stands in the log alone
        self._putting = threading.Lock()  # everything but `put` is called on the loop
        super().__init__(*args, **kwargs)
        self._enter()

    def _enter(self) -> None:
        """Enforces: no offset of before a crash of the machine stands beside files that the crash has taken."""
        if boot.believed(self.folder):
            boot.note(self.folder)
        else:
            if self.folder.exists():
                log.info("local state of another boot is thrown away and read again", state=self.folder.name)
            self.reset_state()
        self._left = False

    async def on_start(self) -> None:
        if self._left:
            self._enter()

    async def on_stop(self) -> None:
        await asyncio.to_thread(self.leave)

    def leave(self) -> None:
        """Syncs what stands here, so that it can be gone on with after the machine's next boot."""
        self._left = True
        try:
            with self._putting:
                boot.sync(self.folder)
        except OSError as error:
            log.warning("the local state is not synced: the next boot reads it again", error=str(error))

    def partition_folder(self, partition: int) -> Path:
        return self.folder / str(partition)

    def entries(self, partition: int) -> dict[bytes, int]:
        """Keys and sizes of what a partition holds."""
        if partition not in self._known:
            found: dict[bytes, int] = {}
            folder = self.partition_folder(partition)
            if folder.is_dir():
                for path in folder.iterdir():
                    if path.suffix == ".seg":
                        found[_key_of(path.name)] = path.stat().st_size
            self._known[partition] = found
        return self._known[partition]

    def path(self, partition: int, key: bytes) -> Path:
        return self.partition_folder(partition) / _file_name(key)

    def put(self, partition: int, key: bytes, value: bytes) -> None:
        target = self.path(partition, key)
        with self._putting:
            if self._left:
                raise Retriable("this worker goes: what comes late is left to whoever comes next")
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = target.with_suffix(".part")
            with open(partial, "wb") as file:
                file.write(value)
            os.replace(partial, target)
            self.entries(partition)[key] = len(value)

    def remove(self, partition: int, key: bytes) -> None:
        if self._left:
            return
        self.path(partition, key).unlink(missing_ok=True)
        self.entries(partition).pop(key, None)

    def size(self) -> int:
        return sum(sum(entries.values()) for entries in self._known.values())

    # What Faust asks of a store.

    def persisted_offset(self, tp: TP) -> int | None:
        path = self.partition_folder(tp.partition) / _OFFSET
        try:
            self._offsets[tp.partition] = int(path.read_text())
            return self._offsets[tp.partition]
        except FileNotFoundError:
            self.wipe(tp.partition)
        except ValueError:
            log.warning("a local offset is not a number; the partition is read again", partition=tp.partition)
            self.wipe(tp.partition)
        return None

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        if self._left:
            return
        folder = self.partition_folder(tp.partition)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # In place and at a fixed width: replacing a file makes a file system flush, hundreds of times a second.
        descriptor = os.open(folder / _OFFSET, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, b"%020d" % offset, 0)
        finally:
            os.close(descriptor)
        self._offsets[tp.partition] = offset

    def wrote(self, tp: TP, offset: int) -> None:
        """An entry of ours stands in the log at `offset`, and here.

        Enforces: the offset stays where somebody else has written in between. We may have lost the partition without
        knowing; going on behind entries that were never read here would leave them out for good.
        """
        if offset == self._offsets.get(tp.partition, -1) + 1:
            self.set_persisted_offset(tp, offset)

    def wipe(self, partition: int) -> None:
        (self.partition_folder(partition) / _OFFSET).unlink(missing_ok=True)  # first: we may die between any two
        shutil.rmtree(self.partition_folder(partition), ignore_errors=True)
        self._known.pop(partition, None)
        self._offsets.pop(partition, None)

    def apply_changelog_batch(
        self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Total: what can't be understood is left out and said, never an exception that Faust would swallow."""
        last: dict[TP, int] = {}
        for event in batch:
            message = event.message
            if not _understood(message.key):
                log.error("a changelog entry of another kind is left out", topic=message.topic, offset=message.offset)
            else:
                try:
                    self._apply(message)
                except OSError as error:  # Faust would go on without the entry, or wait for ever
                    end_process("the local state can't be written", error)
            last[message.tp] = message.offset
        for tp, offset in last.items():
            self.set_persisted_offset(tp, offset)

    def _apply(self, message: Any) -> None:
        if message.value:
            self.put(message.partition, message.key, message.value)
        else:
            self.remove(message.partition, message.key)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        self.on_change({tp.partition for tp in revoked | newly_assigned})

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        self.on_change({tp.partition for tp in active_tps})

    def reset_state(self) -> None:
        for offset in self.folder.glob(f"*/{_OFFSET}"):
            offset.unlink()  # first: we may die between any two
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self._known.clear()
        self._offsets.clear()
        boot.note(self.folder)

    async def backup_partition(self, tp: TP | int, flush: bool = True, purge: bool = False, keep: int = 1) -> None:
        """The changelog is the copy of what stands here; there is no other."""

    def restore_backup(self, tp: TP | int, latest: bool = True, backup_id: int = 0) -> None:
        """A partition is restored from its changelog alone, so what stands here is thrown away."""
        self.wipe(tp if isinstance(tp, int) else tp.partition)

    def _clear(self) -> None:
        self.reset_state()

    def __iter__(self) -> Iterator[bytes]:
        for partition in list(self._known):
            yield from self.entries(partition)

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._known.values())

    def __getitem__(self, key: bytes) -> bytes:
        for partition, entries in self._known.items():
            if key in entries:
                return self.path(partition, key).read_bytes()
        raise KeyError(key)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        raise TypeError("a segment is put into a partition: use SegmentTable.put")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("a segment is removed from a partition: use SegmentTable.remove")
