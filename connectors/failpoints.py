"""Places where a fault test lets a process die.

`METAL_FAILPOINTS="review.after_copy=kill,review.after_commit=kill:3"` arms two of them. `hit(name)` does
nothing, and costs one look into an empty dict, unless the environment names that place. Then the process ends
itself as `kill -9` would (no handler runs, nothing is flushed), or stops as SIGSTOP would, at the n-th pass.
It must not know what the places mean.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from schemas.errors import Fatal

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


@dataclass
class _Armed:
    signal: signal.Signals
    left: int  # passes until it acts


def parse(text: str) -> dict[str, _Armed]:
    armed: dict[str, _Armed] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, _, what = entry.partition("=")
        action, _, nth = what.partition(":")
        if not name or action not in _SIGNALS or not (nth or "1").isdigit() or int(nth or 1) < 1:
            raise Fatal(f"METAL_FAILPOINTS: {entry!r} is not understood; write NAME=kill, NAME=stop or NAME=kill:N")
        armed[name] = _Armed(_SIGNALS[action], int(nth or 1))
    return armed


_ARMED = parse(os.environ.get("METAL_FAILPOINTS", ""))


def hit(name: str) -> None:
    """Marks a place; what was asked for this place happens here."""
    if not _ARMED:
        return
    armed = _ARMED.get(name)
    if armed is None:
        return
    armed.left -= 1
    if armed.left == 0:
        os.kill(os.getpid(), armed.signal)
