"""Wait until what was asked for is ready, or say why it won't be.

Always: what nobody asked for is not waited for; a download that goes on extends the time; a failure carries the end
of the log that explains it. Must not know: what is done about a failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from deploy.stack import logs, record, roster
from deploy.stack.layout import Layout
from deploy.stack.overview import fetching
from schemas.errors import Retriable

Report = Callable[[str], None]
APPEARS_WITHIN = 15.0
FAILURES = 3
PAUSE = 0.03


def wait(layout: Layout, names: Collection[str], revision: int, timeout: float, report: Report | None = None) -> None:
    """Returns when every process of these names is ready and the supervisor has read this revision."""
    began = moved = time.monotonic()
    appeared, told = False, ""
    while True:
        known, now = record.read(layout), time.monotonic()
        appeared = appeared or known.supervised
        if not known.supervised and (appeared or now - began > APPEARS_WITHIN):
            raise Retriable(f"the stack was stopped while it started; {_tail(layout, 'supervisor')}")
        if known.supervised and known.state != "running":
            raise Retriable("the stack was stopped while it started, by 'metal down'")
        if known.supervised and known.revision >= revision:
            waiting = [child for child in known.children if child["name"] in names and child["state"] != "ready"]
            if not waiting:
                return
            _check(layout, waiting)
            line = fetching(layout) or "waiting for " + ", ".join(sorted({child["name"] for child in waiting}))
            if line != told:
                told, moved = line, now
                if report is not None:
                    report(line)
            if now - moved > timeout:
                label = roster.label(waiting[0]["name"], waiting[0]["index"])
                raise Retriable(f"{label} is not ready after {timeout:.0f} s; {_tail(layout, label)}")
        time.sleep(PAUSE)


def _check(layout: Layout, waiting: list[dict[str, Any]]) -> None:
    """Raise when one of them can't come up."""
    for child in waiting:
        if child["state"] == "failed" or child["failures"] >= FAILURES:
            label = roster.label(child["name"], child["index"])
            raise Retriable(f"{label} does not start: {child['reason']}; {_tail(layout, label)}")


def _tail(layout: Layout, label: str) -> str:
    path = layout.log(label)
    return f"the end of {path}:\n{logs.tail(path)}"
