"""What takes more than the right to use mETaL at all: each permission is granted by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Permission = Literal["anonymization.off"]

ANONYMIZATION_OFF: Final[Permission] = "anonymization.off"


@dataclass(frozen=True)
class Caller:
    """What somebody may do beyond that, and to whom it was granted; `refused` says why a permit does not count."""

    permissions: frozenset[Permission] = frozenset()
    holder: str | None = None
    refused: str | None = None


ANYBODY: Final = Caller()
