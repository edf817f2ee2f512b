"""Which files a path names: a file, a directory or a glob.

Always holds: the listing is sorted by path, so it is the same wherever it is made.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Final

from connectors.sources.contract import Context, Split
from connectors.sources.formats.inputs import COMPRESSED
from schemas.errors import InvalidInput, Mistake

UNPACKED: Final = 4  # what a compressed file is taken to grow to
_MAGIC: Final = frozenset("*?[")


MOVED: Final = "the files that were listed before no longer come first"
BEHIND: Final = "give new files names that sort behind the old ones, or set changes.order_by"


def told_in_order(context: Context) -> bool:
    """Whether the files' order is the order of changes."""
    return context.changes is not None and context.changes.order_by is None


class Listing:
    """The files of one source, as splits. Remembers what it listed, since changes follow the files' order."""

    def __init__(self, path: str, extensions: tuple[str, ...], context: Context) -> None:
        self._path = path
        self._extensions = extensions
        self._context = context
        self._listed: list[str] = []

    def splits(self) -> list[Split]:
        """One split for each file, in order of their paths."""
        names = sorted({self._name(path) for path in self._paths() if path.is_file()})
        if not names and not self._context.follow:
            raise self.mistake("no file is there", f"expected files that end in {', '.join(self._extensions)}")
        if told_in_order(self._context) and names[: len(self._listed)] != self._listed:
            raise self.mistake(MOVED, BEHIND)
        self._listed = names
        return [Split(name, self._size(name), {"path": name, "rank": rank}) for rank, name in enumerate(names)]

    def path(self, split: Split) -> Path:
        return self._context.base / str(split.spec["path"])

    def _paths(self) -> list[Path]:
        path = self._context.base / self._path
        if path.is_file():
            return [path]
        if path.is_dir():
            return [child for child in path.iterdir() if self._takes(child.name)]
        if not _MAGIC & set(self._path):
            raise self.mistake("no such file or directory", "name a file, a directory or a glob")
        pattern = str(self._context.base.joinpath(self._path))
        return [Path(found) for found in glob.glob(pattern, recursive=True)]

    def _takes(self, name: str) -> bool:
        bare = name.lower()
        for compressed in COMPRESSED:
            bare = bare.removesuffix(compressed)
        return not name.startswith((".", "_")) and bare.endswith(self._extensions)

    def _name(self, path: Path) -> str:
        inside = path.is_relative_to(self._context.base)
        return (path.relative_to(self._context.base) if inside else path).as_posix()

    def _size(self, name: str) -> int:
        path = self._context.base / name
        return path.stat().st_size * (UNPACKED if path.suffix.lower() in COMPRESSED else 1)

    def mistake(self, wrong: str, right: str) -> InvalidInput:
        where = f"sources.{self._context.source}.path"
        return InvalidInput([Mistake("task", 0, where, f"{self._path}: {wrong}", right)])
