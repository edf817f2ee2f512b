"""How far a lane has read, told from the headers of its batches in the log. The log is the truth; this is its sum.

The same rule as at the receiving end decides which batches count: of a lane only what the newest announced generation
sent, each sequence number once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.headers import Header


@dataclass
class LaneState:
    generation: int = 0
    sequence: int = -1
    epoch: int = -1  # of the last barrier
    positions: dict[str, dict[str, Any]] = field(default_factory=dict)  # split -> {position, skip, skip_rejects}
    read: dict[str, dict[str, int]] = field(default_factory=dict)  # table -> {read, rejected}

    def apply(self, header: Header) -> bool:
        """Takes in one message of the lane; False if it does not count."""
        if header.kind == "claim":
            if header.generation <= self.generation:
                return False
            self.generation = header.generation
            return True
        if header.generation != self.generation or header.sequence <= self.sequence:
            return False
        self.sequence = header.sequence
        if header.kind == "barrier":
            self.epoch = header.epoch
            return True
        extra = header.extra
        at = {"position": extra["position"], "skip": extra["skip"], "skip_rejects": extra.get("skip_rejects", 0)}
        self.positions[extra["split"]] = at
        counts = self.read.setdefault(header.table, {"read": 0, "rejected": 0})
        counts["read"] += header.rows
        counts["rejected"] += extra["rejects"]
        return True

    def encode(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def decode(stored: dict[str, Any]) -> LaneState:
        return LaneState(**stored)
