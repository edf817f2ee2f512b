"""Log files: kept small, and their ends shown when something fails.

Always: a log is at most LARGEST plus one older part of that size; writers append, so truncating loses no place.
Must not know: what is logged.
"""

from __future__ import annotations

import shutil
from pathlib import Path

LARGEST = 16 << 20
TAIL_BYTES = 4096


def rotate(folder: Path, largest: int = LARGEST) -> None:
    """Copy what has grown too large aside and start it anew."""
    for log in folder.glob("*.log"):
        if log.stat().st_size > largest:
            older = log.with_suffix(".log.1")
            try:
                shutil.copyfile(log, older)
                older.chmod(0o600)
            except OSError:
                older.unlink(missing_ok=True)  # no room for the older part: the newest lines matter more
            with log.open("r+b") as file:
                file.truncate()


def tail(log: Path, lines: int = 12) -> str:
    """The last lines, or an empty text when there is no log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
