"""A segment table and its store without a broker: its entries are files of a folder, durable at once."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from pathlib import Path


class Done:
    """What is durable already, however often it is asked."""

    def __await__(self) -> Iterator[None]:
        return iter(())


class Folder:
    """Stands in for both."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.store = folder, self
        self._sizes: dict[bytes, int] = {}

    def entries(self, partition: int) -> dict[bytes, int]:
        return self._sizes

    def path(self, partition: int, key: bytes) -> Path:
        return self._folder / key.hex()

    def put(self, partition: int, key: bytes, value: bytes) -> Awaitable[None]:
        self.path(partition, key).write_bytes(value)
        self._sizes[key] = len(value)
        return Done()

    async def remove(self, partition: int, keys: list[bytes]) -> None:
        for key in keys:
            del self._sizes[key]
            self.path(partition, key).unlink()
