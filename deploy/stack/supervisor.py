"""The process that `metal up` leaves behind: `python -m deploy.stack.supervisor --home H`.

Always: one per home (a lock says so); children outlive it when it is killed, and the next one adopts them, known by
pid and start time; what should run stands in desired.json, what runs stands in state.json.
Must not know: how servers are configured.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from deploy.stack import logs, processes, record, roster
from deploy.stack.child import Child
from deploy.stack.credentials import Credentials, credentials
from deploy.stack.endpoints import embedded
from deploy.stack.layout import Layout, locked, read_json, write_json
from deploy.stack.ports import free
from deploy.stack.probes import ready
from deploy.stack.processes import Identity
from deploy.stack.roster import Desired
from schemas.errors import Retriable

BUSY, CALM = 0.05, 0.2
ROTATE_EVERY = 5.0


class Supervisor:
    """Brings what runs to what should run, one short step after the other."""

    def __init__(self, layout: Layout, secret: Credentials) -> None:
        self.layout, self.secret = layout, secret
        self.me = Identity.of(os.getpid())
        self.desired = Desired.read(layout)
        self.children: dict[str, Child] = {}
        self.ports: dict[str, list[int]] = read_json(layout.root / "ports.json") or {}
        self.stopping = False
        self.seen: tuple[int, int] | None = None
        self.written: dict[Path, Any] = {}
        self.rotated = 0.0

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._adopt()
        while not self.stopping:
            self._step()
            calm = all(child.state in {"ready", "failed"} for child in self.children.values())
            time.sleep(CALM if calm else BUSY)
        self._shut_down()

    def _on_stop(self, number: int, frame: object) -> None:
        self.stopping = True

    def _adopt(self) -> None:
        """Take over what an earlier supervisor left; end what nobody wants or wrote down."""
        living = record.read(self.layout).living()
        for was, who in living:
            child = Child(was["name"], was["index"], was["ports"])
            child.adopt(who, was["restarts"])
            self.children[child.label] = child
        unknown = processes.strays(self.layout.root, [who.pid for _, who in living])
        processes.stop([(who, signal.SIGTERM) for who in unknown], deadline=5.0)

    def _step(self) -> None:
        self._read_desired()
        for child in list(self.children.values()):
            if child.running and child.gone():
                self._bury(child)
            child.insist()
            if child.state == "stopped":
                del self.children[child.label]
            elif child.state == "starting" and ready(child.name, child.ports, self.secret):
                child.serve()
            elif child.state in {"waiting", "backoff"}:
                self._start(child)
        self._write("running")
        if time.monotonic() - self.rotated > ROTATE_EVERY:
            self.rotated = time.monotonic()
            logs.rotate(self.layout.root / "logs")

    def _read_desired(self) -> None:
        """Follow desired.json: add what is missing, stop what is too many, forgive what failed."""
        try:
            status = (self.layout.run / "desired.json").stat()
        except FileNotFoundError:
            self.stopping = True  # somebody removed the home: nothing may outlive it
            return
        if self.seen == (status.st_ino, status.st_mtime_ns):
            return
        self.seen = (status.st_ino, status.st_mtime_ns)
        self.desired = Desired.read(self.layout)
        wanted = {
            roster.label(name, index): (name, index)
            for name, count in self.desired.counts.items()
            for index in range(count)
        }
        for label, (name, index) in wanted.items():
            if label not in self.children:
                self.children[label] = Child(name, index, self._ports_for(name, label))
            elif self.children[label].state == "failed":
                self.children[label].state = "waiting"
        for label, child in self.children.items():
            if label not in wanted:
                child.ask_to_stop()

    def _ports_for(self, name: str, label: str, fresh: bool = False) -> list[int]:
        """The same ports as last time; others when somebody took them."""
        known = self.ports.get(label, [])
        if fresh or not known or not all(map(free, known)):
            taken = {port for ports in self.ports.values() for port in ports}
            self.ports[label] = roster.new_ports(name, taken)
            write_json(self.layout.root / "ports.json", self.ports)
        return self.ports[label]

    def _start(self, child: Child) -> None:
        if time.monotonic() < child.resume_at or not self._may_start(child):
            return
        try:
            child.start(self.layout, self.desired)
        except OSError as error:
            child.fail(f"can't be started: {error.strerror}")
        self._write("running")  # before anything else happens, so that no child is unknown

    def _may_start(self, child: Child) -> bool:
        """A service waits for the servers it needs."""
        if child.name not in roster.SERVICES:
            return True
        needed = [self.children[name] for name in roster.NEEDED if name in self.children]
        return all(server.served for server in needed)

    def _bury(self, child: Child) -> None:
        child.bury()
        if child.state == "backoff" and not child.served and not all(map(free, child.ports)):
            child.ports = self._ports_for(child.name, child.label, fresh=True)

    def _shut_down(self) -> None:
        """Services first, then their servers."""
        for group in roster.STOP_ORDER:
            stopping = [child for child in self.children.values() if child.name in group]
            for child in stopping:
                child.ask_to_stop()
            while any(child.running for child in stopping):
                for child in stopping:
                    if child.running and child.gone():
                        child.bury()
                    child.insist()
                self._write("stopping")
                time.sleep(0.02)
        self.children.clear()
        self._write("down")
        (self.layout.root / "endpoints.json").unlink(missing_ok=True)

    def _write(self, state: str) -> None:
        """Endpoints first: who reads that a server is ready finds its address."""
        up = {child.name: child.ports[0] for child in self.children.values() if child.served and child.index == 0}
        self._write_changed(self.layout.root / "endpoints.json", embedded(up, self.secret))
        self._write_changed(
            self.layout.run / "state.json",
            {
                "supervisor": {"pid": self.me.pid, "created": self.me.created},
                "state": state,
                "revision": self.desired.revision if self.seen else 0,
                "children": [child.record() for child in self.children.values()],
                "external": sorted(roster.external()),
            },
        )

    def _write_changed(self, path: Path, value: dict[str, Any]) -> None:
        if self.written.get(path) == value:
            return
        if not path.parent.exists():
            return  # the home was removed
        try:
            write_json(path, value)
            self.written[path] = value
        except OSError as error:
            # A full disk must not end the supervision; the next step tries again.
            sys.stderr.write(f"{path} can't be written: {error.strerror}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    layout = Layout.of(parser.parse_args().home)
    if os.fork() > 0:
        os._exit(0)  # whoever started us has nothing to wait for
    os.setsid()
    os.umask(0o077)  # for every child as well
    try:
        with locked(layout.run / "supervisor.lock", timeout=0):
            Supervisor(layout, credentials(layout)).run()
    except Retriable as error:
        sys.exit(f"there is a supervisor already: {error}")


if __name__ == "__main__":
    main()
