"""When a lane may end another epoch: not while the run is behind with those it was given.

Every epoch costs the stages about the same, however few records it holds. Where they can't keep up with the epoch's
length (a small machine, a stage that was away) more barriers would only make the queue longer; held back, the epochs
become longer instead and the run catches up at once. A lane that waits has its oldest barriers still to be closed, and
the lane that is furthest behind never has: so lanes can't wait for one another. Every few seconds an epoch is ended all
the same: a hole in what was delivered shows by the next message, so there has to be one.
"""

from __future__ import annotations

import math
from collections import deque

AHEAD = 4  # epochs of a lane that may be under way at least
LONGEST = 5.0  # seconds that an epoch is held back at most, if its own length is not longer
SECONDS = 2.5  # of epochs that may be: what is known of the closed ones is up to a second old


class Pace:
    def __init__(self, length: float) -> None:
        self._sent: deque[int] = deque(maxlen=max(AHEAD, math.ceil(SECONDS / length)))
        self._closed = -1
        self._longest = max(LONGEST, 2 * length)
        self._last = 0.0

    def sent(self, epoch: int, now: float) -> None:
        self._sent.append(epoch)
        self._last = now

    def closed(self, epoch: int) -> None:
        """The last epoch that stands in the review store, as the control store tells."""
        self._closed = epoch

    def holds(self, now: float) -> bool:
        """Whether another epoch has to wait; `now` is any clock that never goes back."""
        behind = len(self._sent) == self._sent.maxlen and self._sent[0] > self._closed
        return behind and now - self._last < self._longest
