"""Which boot of the machine wrote a folder, and whether its files can be believed after another one.

Files are written without waiting for the disk. They outlive their process, but a machine that loses power may keep
one and lose another that was written before it. What always holds: a folder is believed if this boot wrote in it, or
if whoever wrote in it last synced it to the disk and said so; and that word is gone from the disk before the next
write. This module does not know what the files are.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_NOTE = "boot"
_SYNCED = "synced"
_LINUX = Path("/proc/sys/kernel/random/boot_id")


def present() -> str:
    """A name of this boot. Where a clock that is set gives it another name, that costs reading the log again."""
    try:
        return _LINUX.read_text().strip()
    except OSError:
        return f"since {psutil.boot_time():.0f}"


def believed(folder: Path) -> bool:
    try:
        noted = (folder / _NOTE).read_text()
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    return noted in (_SYNCED, present())


def note(folder: Path) -> None:
    """This boot begins to write here."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(folder, present())


def sync(folder: Path) -> None:
    """Everything below the folder is on the disk, and noted to be. Nobody may write while this works, nor after it."""
    for path in folder.rglob("*"):
        _sync(path)
    _write(folder, _SYNCED)


def _write(folder: Path, noted: str) -> None:
    partial = folder / f"{_NOTE}.part"
    partial.write_text(noted)
    _sync(partial)
    os.replace(partial, folder / _NOTE)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
