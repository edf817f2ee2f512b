"""Processes named by pid and start time.

Always: a signal is sent only to the process that was recorded, never to another one that got the same pid.
Must not know: what a process is for.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

GONE_AFTER_KILL = 5.0
SAME_SECOND = 1.0
PROC = Path("/proc/self/stat")


def started(pid: int) -> int | float:
    """When a process started: clock ticks since the boot where the kernel tells them, else seconds of the calendar.

    Ticks are better: a clock that is set moves every calendar time that is worked out afterwards.
    """
    if not PROC.exists():
        return psutil.Process(pid).create_time()
    try:
        # The name in parentheses may hold anything, so count from its end; the start is field 22.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error


def _is(pid: int, created: int | float) -> bool:
    """Whether the process with this pid is the one that started then."""
    if isinstance(created, int):
        return started(pid) == created
    return abs(psutil.Process(pid).create_time() - created) < SAME_SECOND


@dataclass(frozen=True)
class Identity:
    """A process, told apart from a later one with the same pid."""

    pid: int
    created: int | float

    @classmethod
    def of(cls, pid: int) -> Identity:
        return cls(pid, started(pid))

    def process(self) -> psutil.Process | None:
        """The living process, or None when it is gone, is a zombie, or the pid is another one's now."""
        try:
            process = psutil.Process(self.pid)
            if not _is(self.pid, self.created):
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    @property
    def alive(self) -> bool:
        return self.process() is not None

    def send(self, number: signal.Signals) -> None:
        process = self.process()
        if process is not None:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                return

    def kill_group(self) -> None:
        """End what is left of the group that this process leads (every child starts its own).

        The kernel gives a group's number to no new process while the group has members, so a living process
        with our pid and another start time means that our group is gone.
        """
        try:
            if not _is(self.pid, self.created):
                return
        except psutil.NoSuchProcess:
            pass  # the leader is gone and reaped; its group may live on
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def stop(stops: Sequence[tuple[Identity, signal.Signals]], deadline: float) -> list[Identity]:
    """Ask all to end, wait, then kill; answers with those that had to be killed."""
    waiting = [identity for identity, _ in stops]
    for identity, number in stops:
        identity.send(number)
    until = time.monotonic() + deadline
    while (waiting := [i for i in waiting if i.alive]) and time.monotonic() < until:
        time.sleep(0.02)
    for identity in waiting:
        identity.kill_group()
    until = time.monotonic() + GONE_AFTER_KILL
    while any(i.alive for i in waiting) and time.monotonic() < until:
        time.sleep(0.02)
    return waiting


def strays(home: Path, known: Iterable[int]) -> list[Identity]:
    """Children of this home that no record names: their supervisor died before it could write them down."""
    found: dict[int, dict[str, Any]] = {}
    for process in psutil.process_iter(["pid", "ppid"]):
        try:
            environment = process.environ()
            created = started(process.pid)
        except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
            continue  # not ours to look at, so not ours
        if environment.get("METAL_SUPERVISED") == "1" and environment.get("METAL_HOME") == str(home):
            found[process.pid] = {"ppid": process.info["ppid"], "created": created}
    ours = set(known)
    return [
        Identity(pid, info["created"])
        for pid, info in found.items()
        if pid not in {*ours, os.getpid()} and _leads(pid) and not _descends(pid, found, ours)
    ]


def _leads(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def _descends(pid: int, found: dict[int, dict[str, Any]], known: set[int]) -> bool:
    """Whether a known child started it."""
    parent = found[pid]["ppid"]
    while parent in found:
        if parent in known:
            return True
        parent = found[parent]["ppid"]
    return parent in known
