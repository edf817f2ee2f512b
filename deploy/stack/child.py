"""One process of the stack: started, adopted, watched, started again, stopped.

Always: it leads a process group of its own, so it outlives its supervisor and ends with everything it started;
a second start waits twice as long as the first, up to ten seconds (METAL_RESTART_SECONDS), and a life of thirty
seconds makes up for it.
Must not know: which other processes there are.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from deploy.stack.launch import EXIT_FATAL
from deploy.stack.layout import Layout
from deploy.stack.processes import Identity
from deploy.stack.roster import BACKENDS, STOP_SIGNAL, Desired, argv, environment, label

FIRST_DELAY = 0.2
LAST_DELAY = float(os.environ.get("METAL_RESTART_SECONDS", "10"))
LONG_LIFE = 30.0
STOP_DEADLINE = 15.0


@dataclass
class Child:
    """States: waiting, starting, ready, backoff, failed, stopping, stopped."""

    name: str
    index: int
    ports: list[int]
    state: str = "waiting"
    who: Identity | None = None
    handle: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    failures: int = 0
    served: bool = False
    started: float = 0.0
    delay: float = FIRST_DELAY
    resume_at: float = 0.0
    kill_at: float = 0.0
    reason: str | None = None

    @property
    def label(self) -> str:
        return label(self.name, self.index)

    @property
    def running(self) -> bool:
        return self.who is not None

    def start(self, layout: Layout, desired: Desired) -> None:
        """Run its command, its output appended to its log."""
        (layout.run / f"{self.name}.fetch.json").unlink(missing_ok=True)
        log = os.open(layout.log(self.label), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self.handle = subprocess.Popen(
                argv(layout, desired, self.name, self.ports),
                env=environment(layout.root, self.index, self.ports),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=layout.run,
                start_new_session=True,
            )
        finally:
            os.close(log)
        self.who = Identity.of(self.handle.pid)
        self.state, self.started = "starting", time.monotonic()

    def adopt(self, who: Identity, restarts: int) -> None:
        """Look after a process that an earlier supervisor left behind."""
        self.who, self.handle, self.restarts = who, None, restarts
        self.state, self.started = "starting", time.monotonic()

    def gone(self) -> bool:
        """Whether its process has ended."""
        if self.handle is not None:
            return self.handle.poll() is not None
        return self.who is not None and not self.who.alive

    def bury(self) -> None:
        """Take note of its end, and when it may start again."""
        code = self.handle.returncode if self.handle is not None else None
        if self.who is not None:
            self.who.kill_group()
        self.who = self.handle = None
        if self.state == "stopping":
            self.state = "stopped"
            return
        self.fail(_told(code), code == EXIT_FATAL and self.name in BACKENDS)

    def fail(self, reason: str, fatal: bool = False) -> None:
        now = time.monotonic()
        if now - self.started >= LONG_LIFE:
            self.delay, self.failures = FIRST_DELAY, 0
        self.reason = reason
        self.restarts += 1
        self.failures += 1
        self.state = "failed" if fatal else "backoff"
        self.resume_at = now + self.delay
        self.delay = min(self.delay * 2, LAST_DELAY)

    def serve(self) -> None:
        self.state, self.served, self.failures = "ready", True, 0

    def ask_to_stop(self) -> None:
        """Begin its end; `insist` completes it."""
        if self.who is None:
            self.state = "stopped"
        elif self.state != "stopping":
            self.who.send(STOP_SIGNAL.get(self.name, signal.SIGTERM))
            self.state, self.kill_at = "stopping", time.monotonic() + STOP_DEADLINE

    def insist(self) -> None:
        if self.state == "stopping" and self.who is not None and time.monotonic() >= self.kill_at:
            self.who.kill_group()

    def record(self) -> dict[str, Any]:
        """What the state file says of it."""
        return {
            "name": self.name,
            "index": self.index,
            "pid": self.who.pid if self.who else None,
            "created": self.who.created if self.who else None,
            "state": self.state,
            "ports": self.ports,
            "restarts": self.restarts,
            "failures": self.failures,
            "reason": self.reason,
        }


def _told(code: int | None) -> str:
    if code is None:
        return "ended"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
