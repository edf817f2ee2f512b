"""When records of a continuous run become visible: the moment a SELECT in PostgreSQL finds them.

Looking for single people needs an index on `id`, which these benchmarks add to the review store's table; it slows the
engine a little and the figures by as much.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import sql

from benchmarks.engine import Engine, until
from control_api.store.outbox import table_of
from schemas.errors import Fatal

EVERY: Final = 0.005
SOME: Final = 16


@dataclass
class Watch:
    """Looks at one table of a continuous run."""

    engine: Engine
    run: str
    table: str = "person"

    def index(self) -> None:
        self.engine.execute(sql.SQL("CREATE INDEX ON {} (id)").format(table_of(self.run, self.table)))

    def loaded(self, records: int, seconds: float) -> None:
        """Until so many records stand in the review store."""

        def read() -> bool:
            self.engine.still_running(self.run)
            return self.engine.read(self.run) >= records

        until(read, seconds, f"{records:,} records are read", every=0.5)
        found = self.engine.count(self.run, self.table)
        if found != records:
            raise Fatal(f"{records} records were read and {found} stand in the review store")

    def noted(self, ids: list[int], note: str) -> int:
        """How many of these people have this note."""
        text = sql.SQL("SELECT count(*) FROM {} WHERE id = ANY(%s) AND note = %s")
        return int(self.engine.query(text.format(table_of(self.run, self.table)), ids, note)[0][0])

    def seen(self, ids: list[int], note: str, seconds: float) -> float:
        """The time at which all of these people have this note. Few are asked for first: looking slows what is seen."""
        some = ids[:: -(-len(ids) // SOME)]
        until(lambda: self.noted(some, note) == len(some), seconds, f"{len(some)} changes are visible", every=EVERY)
        until(lambda: self.noted(ids, note) == len(ids), seconds, f"{len(ids)} changes are visible", every=EVERY)
        return time.time()

    def present(self, ids: list[int]) -> set[int]:
        text = sql.SQL("SELECT id FROM {} WHERE id = ANY(%s)").format(table_of(self.run, self.table))
        return {row[0] for row in self.engine.query(text, ids)}


@dataclass
class Arrivals:
    """Which records were sent when and are not yet visible; every so many of them one is looked for."""

    watch: Watch
    every: int
    delays: list[tuple[float, float]] = field(default_factory=list)  # when it was sent, how long it took
    _pending: dict[int, float] = field(default_factory=dict)
    _sent: deque[tuple[int, int, float]] = field(default_factory=deque)

    def sent(self, first: int, count: int, at: float) -> None:
        """May be called from another thread."""
        self._sent.append((first, count, at))

    def look(self) -> bool:
        """True when nothing is pending."""
        while self._sent:
            first, count, at = self._sent.popleft()
            start = -(-first // self.every) * self.every
            self._pending |= dict.fromkeys(range(start, first + count, self.every), at)
        if self._pending:
            found = self.watch.present(list(self._pending))
            now = time.time()
            for number in found:
                at = self._pending.pop(number)
                self.delays.append((at, now - at))
        return not self._pending


def difference(after: dict[str, float], before: dict[str, float], name: str, **labels: Any) -> tuple[float, float]:
    """How a histogram's count and sum grew."""
    tail = "".join(f",{key}={value}" for key, value in sorted(labels.items()))
    count, total = (
        after.get(f"{name}_{part}{tail}", 0.0) - before.get(f"{name}_{part}{tail}", 0.0) for part in ("count", "sum")
    )
    return count, total
