"""How far the changelogs of workers' state may be trimmed: what stands there of runs that are over is read by nobody.

Compaction gives that back, too, but late, and by copying all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

Place = tuple[str, int]


class Changelogs:
    """Remembers where they ended while which runs were open. In memory alone: after a start they are trimmed later."""

    def __init__(self) -> None:
        self._marks: dict[frozenset[str], Mapping[Place, int]] = {}  # those open then and still -> the ends then
        self._ends: Mapping[Place, int] = {}

    def over(self, ends: Mapping[Place, int], open_runs: Set[str]) -> dict[Place, int]:
        """Up to where no run is open that wrote there; `ends` must have been asked before `open_runs`.

        A run that is open now and was not then began behind these ends, since none that is over is opened again.
        """
        if any(end < self._ends.get(place, 0) for place, end in ends.items()):
            self._marks = {}  # a topic was made anew, or the broker has lost something: these say nothing any more
        self._ends = ends
        marks, self._marks = [*self._marks.items(), (frozenset(open_runs), ends)], {}
        for runs, marked in marks:
            still = runs & open_runs
            self._marks.pop(still, None)  # of those that the same runs hold, the last reaches furthest
            self._marks[still] = marked
        # Enforces: the last entry stays. Who recovers meanwhile waits for one that is as late as the end was.
        return {place: end - 1 for place, end in self._marks.get(frozenset(), {}).items() if end > 0}
