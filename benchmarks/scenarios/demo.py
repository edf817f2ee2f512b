"""`make demo` in a fresh clone with a new METAL_HOME, downloads aside: packages and jars come from the caches.

The first round fills the caches and is not counted. What is not committed is not in the clone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure, Outcome, Target
from benchmarks.machine import CHECKOUT
from benchmarks.session import Session
from schemas.errors import Fatal

SCALES: Final[dict[str, dict[str, Any]]] = {
    "full": {"within": 900.0},
    "small": {"within": 900.0},
    "tiny": {"within": 900.0},
}


def measure(session: Session, within: float) -> Outcome:
    """`within`: seconds after which a round counts as stuck."""
    rounds = [_round(session, within) for _ in range(session.runs + 1)][1:]
    install, demo = ([one[number] for one in rounds] for number in (0, 1))
    whole = [first + second for first, second in rounds]
    return Outcome(
        {
            "demo_seconds": Figure("make demo in a fresh clone, downloads aside", "s", whole, Target("<=", 60)),
            "install_seconds": Figure("of it make install", "s", install),
            "stack_and_task_seconds": Figure("of it the stack and the sample task", "s", demo),
        }
    )


def _round(session: Session, within: float) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="metal-demo-") as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        _run(["git", "clone", "--quiet", str(CHECKOUT), str(clone)], Path(folder), home, within)
        Path(folder).chmod(0o711)  # the database's own user has to pass
        try:
            install = _run(["make", "--quiet", "install", f"PYTHON={_python()}"], clone, home, within)
            demo = _run(["make", "--quiet", "demo", f"PYTHON={_python()}"], clone, home, within)
        finally:
            if (clone / ".venv" / "bin" / "metal").exists():
                _run([".venv/bin/metal", "down", "--purge"], clone, home, within)
    session.say(f"install {install:.1f} s, stack and task {demo:.1f} s")
    return install, demo


def _run(command: list[str], folder: Path, home: Path, within: float) -> float:
    """Seconds that a command took."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("METAL_", "MAKE", "MFLAGS"))}
    cache = {"METAL_CACHE": os.environ["METAL_CACHE"]} if "METAL_CACHE" in os.environ else {}
    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=kept | cache | {"METAL_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    if done.returncode:
        raise Fatal(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def _python() -> str:
    """The interpreter under our virtual environment."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")
