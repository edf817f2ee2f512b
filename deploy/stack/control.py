"""Up, down, scale and ensure: what commands and tests ask of a home's stack.

Always: ups of one home come one after the other; an up that fails leaves down what it found down; a down ends
with nothing running, whatever was going on. Must not know: how output is shown.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from deploy.stack import processes, record, roster
from deploy.stack.credentials import credentials, ensure_master_key
from deploy.stack.endpoints import S3, s3_from_environment
from deploy.stack.layout import Layout, explained, locked, read_json, write_json
from deploy.stack.overview import Status, inspect
from deploy.stack.patience import Report, wait
from deploy.stack.roster import SERVICE_COMMAND, Desired
from schemas.errors import Fatal, Retriable

TIMEOUT = 120.0
STOPS_WITHIN = 60.0


def up(
    home: Path | None = None,
    services: Collection[str] | None = None,
    *,
    timeout: float = TIMEOUT,
    command: Sequence[str] = SERVICE_COMMAND,
    report: Report | None = None,
) -> Status:
    """Start what isn't running; returns when all of it is ready, or raises with the reason."""
    layout, wanted = Layout.of(home), roster.wanted(services)
    layout.create()
    with locked(layout.run / "up.lock"):
        layout.create()
        ensure_master_key(layout.root)
        credentials(layout)
        ours = not record.read(layout).supervised
        if ours:
            layout.check_space()
        asked = _ask(layout, wanted, command, fresh=ours)
        if asked is None:  # what runs may still be starting
            wait(layout, wanted, 0, timeout, report)
            return inspect(layout.root)
        try:
            if ours:
                _spawn(layout)
            wait(layout, wanted, asked.revision, timeout, report)
        except BaseException:
            if ours:
                _stop_all(layout)
            raise
        return replace(inspect(layout.root), changed=True)


def down(home: Path | None = None, *, purge: bool = False) -> bool:
    """Stop everything, even in the middle of an up; answers whether anything was running."""
    layout, ran = Layout.of(home), False
    if not layout.root.exists():
        return False
    while True:
        ran = _stop_all(layout) or ran
        try:
            # An up that is about to start a supervisor holds the lock; it must not win against us.
            with locked(layout.run / "up.lock", timeout=0.1):
                if not record.alive(layout):
                    if purge:
                        with explained(layout.root):
                            layout.purge()
                    return ran
        except Retriable:
            continue


def scale(counts: dict[str, int], home: Path | None = None, *, timeout: float = TIMEOUT) -> Status:
    """Change how many processes of each service run; returns when they do."""
    roster.check(counts)
    layout = Layout.of(home)
    if not record.read(layout).supervised:
        raise Retriable(f"nothing is running in {layout.root}; run 'metal up'")
    asked = _ask(layout, counts, None)
    if asked is not None:
        wait(layout, counts, asked.revision, timeout)
    return replace(inspect(layout.root), changed=asked is not None)


def ensure(name: str, home: Path | None = None, *, timeout: float = TIMEOUT) -> S3:
    """Start the object store if it isn't running; returns when it answers."""
    if name != "s3":
        raise Fatal(f"{name} is not started on demand; only s3 is")
    given = s3_from_environment()
    if given is not None:
        return given
    scale({"s3": 1}, home, timeout=timeout)
    stored = read_json(Layout.of(home).root / "endpoints.json")
    return S3(**stored["s3"])


def _ask(
    layout: Layout, counts: dict[str, int], command: Sequence[str] | None, *, fresh: bool = False
) -> Desired | None:
    """Write down what should run; None when that is what should run already."""
    with locked(layout.run / "desired.lock"), explained(layout.root):
        known = Desired.read(layout)
        before = {} if fresh else known.counts
        # An up adds to what runs; only a scale changes a count.
        after = {**before, **counts} if command is None else {**counts, **before}
        if not fresh and after == before and not _broken(layout):
            return None
        asked = Desired(after, tuple(command or known.command), known.revision + 1)
        write_json(layout.run / "desired.json", asdict(asked))
        return asked


def _broken(layout: Layout) -> bool:
    return any(child["state"] == "failed" for child in record.read(layout).children)


def _spawn(layout: Layout) -> None:
    """Leave a supervisor behind."""
    with layout.log("supervisor").open("ab") as log:
        layout.log("supervisor").chmod(0o600)
        subprocess.run(
            [sys.executable, "-m", "deploy.stack.supervisor", "--home", str(layout.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=layout.run,
            start_new_session=True,
            check=True,
        )


def _stop_all(layout: Layout) -> bool:
    """Stop the supervisor, then whatever it left running."""
    known = record.read(layout)
    ran = known.supervised
    if known.supervisor is not None and ran:
        processes.stop([(known.supervisor, signal.SIGTERM)], STOPS_WITHIN)
    left = [(child["name"], who) for child, who in record.read(layout).living()]
    left += [("stray", who) for who in processes.strays(layout.root, [who.pid for _, who in left])]
    for group in (("stray",), *roster.STOP_ORDER):
        stops = [(who, roster.STOP_SIGNAL.get(name, signal.SIGTERM)) for name, who in left if name in group]
        processes.stop(stops, deadline=15.0)
    if not record.alive(layout):
        (layout.root / "endpoints.json").unlink(missing_ok=True)
        (layout.run / "state.json").unlink(missing_ok=True)
    return ran or bool(left)
