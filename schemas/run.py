"""The states of a run and how they follow one another.

A run with no open dead letters ends as soon as it is prepared. One with open dead letters stays open, with its
key and its state, until they are replayed or discarded, or the run is stopped or its retention is over.
"""

from __future__ import annotations

from typing import Final, Literal

State = Literal["running", "paused", "prepared", "failed", "stopped"]

FOLLOWS: Final[dict[State, frozenset[State]]] = {
    "running": frozenset({"paused", "prepared", "failed", "stopped"}),
    "paused": frozenset({"running", "failed", "stopped"}),
    "prepared": frozenset({"stopped", "failed"}),
    "failed": frozenset(),
    "stopped": frozenset(),
}

REPLAY_LANE: Final = -1  # the lane on which corrected dead letters come in again
