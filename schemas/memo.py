"""What a dead letter remembers beside its record, so that a correction can take the record's place.

Sealed together with the record, under a name that no column has; whoever is shown the record does not see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple

MEMO: Final = "_memo"


class Place(NamedTuple):
    """Where a merged record stands: the hash of its key, its content, and its place in the order of changes."""

    key: int
    content: int
    change: int


@dataclass(frozen=True)
class Memo:
    """`ruled`: columns whose values have passed the rules; `changed`: what the rules changed, as bits of `_chg`."""

    stands: Place | None = None  # None: nothing of the record went into the merge
    ruled: tuple[str, ...] = ()
    changed: int = 0

    def told(self) -> dict[str, Any]:
        return asdict(self) | {"stands": None if self.stands is None else list(self.stands)}

    @staticmethod
    def read(told: Mapping[str, Any]) -> Memo:
        stands = told["stands"]
        return Memo(None if stands is None else Place(*stands), tuple(told["ruled"]), told["changed"])

    def after(self, letter: Mapping[str, Any], correction: Mapping[str, Any]) -> Memo:
        """What the correction set anew has passed no rule yet."""
        return replace(self, ruled=tuple(name for name in self.ruled if letter.get(name) == correction.get(name)))
