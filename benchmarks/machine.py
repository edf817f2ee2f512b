"""What a figure was measured on: cores, memory, load, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

CHECKOUT: Final = Path(__file__).resolve().parent.parent
LIBRARIES: Final = ("metal-etl", "polars", "pyarrow", "faust-streaming", "confluent-kafka", "psycopg")


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "commit": commit()} | {name: version(name) for name in LIBRARIES}


def commit() -> str:
    """The checkout's commit, with a mark if files differ from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() if told.returncode == 0 else "not a git checkout"


def load() -> list[float]:
    """Of the last minute, five and fifteen minutes."""
    return [round(one, 2) for one in os.getloadavg()]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
