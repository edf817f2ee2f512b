"""The files of the project as they stand in the work tree. Knows no check."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

_LEFT_OUT: Final = frozenset({".git", "__pycache__", "build", "dist", "node_modules"})
_SHOWN: Final = frozenset({".github", ".ci"})
_TEXT: Final = frozenset(
    {
        *(".avsc", ".csv", ".json", ".lock", ".toml", ".yaml", ".yml", ".ini", ".cfg", ".env"),
        *(".md", ".html", ".txt", ".py", ".sh", ".sql"),
    }
)
_NAMES: Final = frozenset({"Dockerfile", "LICENSE", "Makefile", "NOTICE", "run"})


@dataclass(frozen=True)
class Finding:
    """What is wrong in a file; a warning stops nothing."""

    file: str
    line: int
    wrong: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        level = "" if self.severity == "error" else "warning: "
        return f"{self.file}:{self.line}: {level}{self.wrong}"


@dataclass(frozen=True)
class Project:
    root: Path

    def files(self, *suffixes: str) -> Iterator[str]:
        """Paths relative to the root, sorted; without suffixes every file."""
        found: list[str] = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if not _hidden(name)]
            for name in names:
                if not suffixes or name.endswith(suffixes):
                    found.append((Path(folder) / name).relative_to(self.root).as_posix())
        yield from sorted(found)

    def texts(self) -> Iterator[str]:
        """Files that people or programs read as text, corpora of other projects left out."""
        for name in self.files():
            path = Path(name)
            if (path.suffix in _TEXT or path.name in _NAMES) and not name.startswith("tests/corpora/"):
                yield name

    def read(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8", errors="replace")

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()


def _hidden(name: str) -> bool:
    if name in _SHOWN:
        return False
    return name.startswith(".") or name in _LEFT_OUT or name.endswith(".egg-info")
