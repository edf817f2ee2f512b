"""A sliding window over bytes, and the marks by which a file is known again.

Always holds: what `at` gives depends on the input's content alone, not on how it was read before.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, Protocol

from schemas.errors import Fatal

MARK_BYTES: Final = 4096


class Input(Protocol):
    """Bytes that are read at an offset; fewer than asked for, or none, only at the present end."""

    label: str  # for messages
    at_hand: bool  # bytes read before cost no more than a copy of them

    def read(self, offset: int, size: int) -> bytes: ...

    def close(self) -> None: ...


class Window:
    """Holds the bytes last read, so that a record cut in two is not fetched twice where that costs something."""

    def __init__(self, source: Input) -> None:
        self.source = source
        self._base = 0
        self._held = b""

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer only at the present end."""
        start = offset - self._base
        held = self._held[start:] if 0 <= start < len(self._held) and not self.source.at_hand else b""
        parts = [held] if held else []
        have = len(held)
        while have < size:
            part = self.source.read(offset + have, size - have)
            if not part:
                break
            parts.append(part)
            have += len(part)
        self._base = offset
        self._held = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._held if have <= size else self._held[:size]

    @staticmethod
    def mark(before: bytes) -> dict[str, Any]:
        """What identifies the content before an offset; `before` ends there."""
        tail = before[-MARK_BYTES:]
        return {"tail": _digest(tail), "tail_size": len(tail)}

    def verify(self, position: dict[str, Any]) -> None:
        """Fails when the content before a position is no longer what it was."""
        size = int(position["tail_size"])
        tail = self.source.read(int(position["offset"]) - size, size)
        if len(tail) < size:
            raise Fatal(f"{self.source.label} is shorter than what was already read of it; it was cut or replaced")
        if _digest(tail) != position["tail"]:
            raise Fatal(f"{self.source.label} no longer holds what was already read of it; it was replaced")

    def close(self) -> None:
        self.source.close()


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
