"""Where a home keeps what: paths, modes, atomic files, locks.

Always: a file appears whole or not at all; secrets have mode 600; a directory that holds foreign things is never
taken as a home, so that a purge removes only what this project created.
Must not know: what runs in the home.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import Fatal, Retriable

MARKER = ".metal-home"
PURGED = (
    *("run", "logs", "kafka", "postgres", "s3", "state"),
    *("credentials.json", "endpoints.json", "ports.json", "pgpass", "master.key", "api.token", MARKER),
)
BEFORE_UP = {"run", "master.key", "api.token"}  # what may be asked for before the first up
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
LEAST_FREE = 256 << 20


def home() -> Path:
    """METAL_HOME, or its default, as an absolute path."""
    return Path(os.environ.get("METAL_HOME") or "~/.metal").expanduser().resolve()


@dataclass(frozen=True)
class Layout:
    """The paths of one home."""

    root: Path

    @classmethod
    def of(cls, root: Path | None) -> Layout:
        return cls(home() if root is None else root.expanduser().resolve())

    @property
    def run(self) -> Path:
        return self.root / "run"

    def log(self, child: str) -> Path:
        return self.root / "logs" / f"{child}.log"

    def create(self) -> Layout:
        """Make the home's folders; refuse a folder that belongs to something else."""
        with explained(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            marker = self.root / MARKER
            if not marker.exists():
                foreign = {path.name for path in self.root.iterdir()} - BEFORE_UP
                # Another process may make the home meanwhile: its marker comes before all else that it makes.
                if foreign and not marker.exists():
                    raise Fatal(
                        f"{self.root} is not empty and is not a home of METAL; "
                        "set METAL_HOME to a new or empty directory"
                    )
                marker.touch(mode=0o600)
                # The database can't run as root; its user must be able to pass through, not to look around.
                self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for name in ("run", "logs"):
                (self.root / name).mkdir(exist_ok=True, mode=0o700)
        return self

    def check_space(self) -> None:
        with explained(self.root):
            free = shutil.disk_usage(self.root).free
            if free < LEAST_FREE:
                raise Fatal(
                    f"the disk of {self.root} is full: {free >> 20} MiB are free, "
                    f"the stack needs {LEAST_FREE >> 20} MiB to start; make room or set METAL_HOME elsewhere"
                )

    def purge(self) -> None:
        """Remove what this project created here, and the folder itself when nothing else is left."""
        if not (self.root / MARKER).exists():
            return
        for name in PURGED:
            path = self.root / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not any(self.root.iterdir()):
            self.root.rmdir()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise Fatal(f"no space left on the disk of {path}; make room or set METAL_HOME elsewhere") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
            raise Fatal(f"{error.filename or path} can't be used: {error.strerror}; set METAL_HOME") from error
        raise


def write_atomic(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file as a whole; half of it is never seen, not even after a crash."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """The document, or None when there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Fatal(f"{path} is damaged: {error}; remove it and run 'metal up' again") from error


@contextmanager
def locked(path: Path, timeout: float = 600.0) -> Iterator[None]:
    """Hold a lock across processes; the kernel gives it back when the holder dies."""
    deadline = time.monotonic() + timeout
    while True:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _lock(fd, path):
            break
        os.close(fd)
        if time.monotonic() >= deadline:
            raise Retriable(f"another process holds {path}")
        time.sleep(0.05)
    try:
        yield
    finally:
        os.close(fd)


def _lock(fd: int, path: Path) -> bool:
    """Try once; a file that a purge removed meanwhile locks nothing."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(fd).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
