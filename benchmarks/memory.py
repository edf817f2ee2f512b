"""The largest resident memory of every process of the stack, sampled while something is measured.

`resident` counts shared pages in every process that touched them, so each backend of PostgreSQL counts the shared
buffers again; `private` leaves shared pages out.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil

EVERY: Final = 0.25  # seconds between samples
LISTED: Final = 4  # samples for which a list of the processes holds: making it takes as long as ten of them
Pids = Callable[[], dict[int, str]]  # the stack's processes, with the service of each


@dataclass
class Peak:
    """Of the process of a service that had most."""

    resident: int = 0
    private: int = 0


class Sampler(threading.Thread):
    def __init__(self, pids: Pids) -> None:
        super().__init__(name="memory", daemon=True)
        self.peaks: dict[str, Peak] = {}
        self._pids = pids
        self._ended = threading.Event()

    def run(self) -> None:
        for sample in itertools.count():
            if sample % LISTED == 0:
                listed = self._pids()
            for pid, service in listed.items():
                self._look(pid, service)
            if self._ended.wait(EVERY):
                return

    def _look(self, pid: int, service: str) -> None:
        try:
            told = psutil.Process(pid).memory_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return  # it ended since the list was made
        peak = self.peaks.setdefault(service, Peak())
        peak.resident = max(peak.resident, told.rss)
        peak.private = max(peak.private, told.rss - getattr(told, "shared", 0))

    def end(self) -> None:
        self._ended.set()
        self.join()


@contextmanager
def sampled(pids: Pids) -> Iterator[dict[str, Peak]]:
    """Fills the peaks by service while the block runs."""
    sampler = Sampler(pids)
    sampler.start()
    try:
        yield sampler.peaks
    finally:
        sampler.end()


def family(pids: dict[int, str]) -> dict[int, str]:
    """These processes and their children: a backend of PostgreSQL is a child of its server."""
    parents = {process.pid: process.info["ppid"] for process in psutil.process_iter(["ppid"])}  # once: it is not cheap
    found, known = dict(pids), 0
    while len(found) > known:
        known = len(found)
        found |= {child: found[parent] for child, parent in parents.items() if parent in found and child not in found}
    return found


def mib(peaks: dict[str, Peak]) -> dict[str, dict[str, int]]:
    return {
        service: {"resident_mib": peak.resident >> 20, "private_mib": peak.private >> 20}
        for service, peak in sorted(peaks.items())
    }
