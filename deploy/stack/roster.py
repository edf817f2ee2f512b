"""Who belongs to the stack: names, order, commands, what each one listens on.

Always: a child's environment says its home, its instance and its port. Must not know: what is running now.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.layout import Layout, read_json
from deploy.stack.ports import pick
from schemas.errors import InvalidInput, Mistake

BACKENDS = ("kafka", "postgres", "s3")
SERVICES = ("api", "connect", "worker", "review")
NAMES = (*BACKENDS, *SERVICES)
NEEDED = ("kafka", "postgres")  # before any service starts
EXTERNAL = {"kafka": "METAL_KAFKA", "postgres": "METAL_POSTGRES", "s3": "METAL_S3"}
SERVICE_COMMAND = (sys.executable, "-m", "control_api.cli.main")
STOP_SIGNAL = {"postgres": signal.SIGINT}  # fast shutdown: does not wait for its clients
STOP_ORDER = (SERVICES, BACKENDS)
MOST = 64


# What services hold: threads, and memory that is kept for what comes next, where the kernel would clear pages for each.
MEMORY = {
    "POLARS_MAX_THREADS": "1",  # stages work on several batches at once, so a thread for each is the quickest
    # Buffers are of every size and come from many threads: other pools hold twice of what is in use.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    # Messages are megabytes: their memory is kept and used again, where glibc would ask the kernel for every one.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    # Of polars, whose own setting gives freed pages back within half a second, and faults them in again.
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:60000",
}


@dataclass(frozen=True)
class Desired:
    """What should run: how many of each, and how a service is started."""

    counts: dict[str, int]
    command: tuple[str, ...] = SERVICE_COMMAND
    revision: int = 0

    @classmethod
    def read(cls, layout: Layout) -> Desired:
        stored = read_json(layout.run / "desired.json")
        if stored is None:
            return cls({})
        return cls(stored["counts"], tuple(stored["command"]), stored["revision"])


def external() -> set[str]:
    """Servers that the environment names, so that ours are not started."""
    return {name for name, variable in EXTERNAL.items() if os.environ.get(variable)}


def wanted(names: Collection[str] | None) -> dict[str, int]:
    """One of each that was asked for; S3 only waits, until somebody needs it."""
    chosen = set(NAMES if names is None else names)
    check(dict.fromkeys(chosen, 1))
    return {name: int(name != "s3" or names is not None) for name in NAMES if name in chosen - external()}


def check(counts: dict[str, int]) -> None:
    """Refuse names and counts that make no sense, all at once."""
    mistakes = [
        Mistake("services", 1, name, "there is no such service", f"one of {', '.join(NAMES)}")
        for name in sorted(counts)
        if name not in NAMES
    ]
    for name, count in counts.items():
        most = 1 if name in (*BACKENDS, "api") else MOST
        if name in NAMES and not 0 <= count <= most:
            mistakes.append(Mistake("services", 1, name, f"{count} processes", f"0 to {most}"))
    if mistakes:
        raise InvalidInput(mistakes)


def label(name: str, index: int) -> str:
    """The name of one process: of its log and of its ports."""
    return name if name in BACKENDS else f"{name}.{index}"


def new_ports(name: str, taken: Collection[int]) -> list[int]:
    """As many free ports as a process needs: Kafka has a second one for its controller."""
    first = pick(taken)
    return [first, pick({*taken, first})] if name == "kafka" else [first]


def argv(layout: Layout, desired: Desired, name: str, ports: list[int]) -> list[str]:
    if name in SERVICES:
        return [*desired.command, name]
    listens = [part for port in ports for part in ("--port", str(port))]
    return [sys.executable, "-m", "deploy.stack.launch", name, "--home", str(layout.root), *listens]


def environment(root: Path, index: int, ports: list[int]) -> dict[str, str]:
    return {
        **MEMORY,
        **os.environ,
        "METAL_HOME": str(root),
        "METAL_INSTANCE": str(index),
        "METAL_PORT": str(ports[0]),
        "METAL_SUPERVISED": "1",
        "PYTHONUNBUFFERED": "1",
    }
