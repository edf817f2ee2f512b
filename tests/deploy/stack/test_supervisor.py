"""The supervisor over fake services: what dies starts again, what is asked for runs, nothing foreign is touched."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from deploy import stack
from deploy.stack import record
from deploy.stack.child import FIRST_DELAY, Child
from deploy.stack.layout import Layout, write_json
from schemas.errors import InvalidInput, Retriable
from tests.deploy.stack.conftest import FAKE, eventually

BOTH = {"api", "worker"}


def pid(home: Path, name: str, index: int = 0) -> int:
    return int(stack.status(home).services[name][index]["pid"] or 0)


def gone(number: int) -> bool:
    return not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE


def test_up_returns_when_all_is_ready(home: Path) -> None:
    found = stack.up(home, BOTH, command=(*FAKE, "--delay", "0.5"))
    assert (found.state, found.changed) == ("up", True)
    assert {name for name, each in found.services.items() if each} == {"api", "worker", "s3"}
    assert found.services["s3"] == [{"pid": None, "state": "idle"}]
    assert [process["state"] for process in found.services["worker"]] == ["ready"]
    assert found.endpoints["api"] == f"http://127.0.0.1:{found.services['api'][0]['port']}"


def test_a_service_is_told_its_home_instance_and_port(home: Path) -> None:
    stack.up(home, {"worker"}, command=FAKE)
    found = stack.scale({"worker": 2}, home)
    for index, process in enumerate(found.services["worker"]):
        with urllib.request.urlopen(f"http://127.0.0.1:{process['port']}/") as answer:
            told = json.load(answer)
        assert told["METAL_HOME"] == str(home)
        assert told["METAL_INSTANCE"] == str(index)
        assert told["METAL_SUPERVISED"] == "1"


def test_a_second_up_changes_nothing(home: Path) -> None:
    stack.up(home, BOTH, command=FAKE)
    before = stack.status(home).services
    again = stack.up(home, BOTH, command=FAKE)
    assert not again.changed
    assert again.services == before


def test_concurrent_ups_start_one_stack(home: Path) -> None:
    found: list[stack.Status] = []
    threads = [threading.Thread(target=lambda: found.append(stack.up(home, BOTH, command=FAKE))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.changed for each in found) == [False, False, True]
    assert len({each.services["api"][0]["pid"] for each in found}) == 1


def test_up_adds_to_what_runs(home: Path) -> None:
    stack.up(home, {"api"}, command=FAKE)
    api = pid(home, "api")
    assert stack.up(home, BOTH, command=FAKE).changed
    assert pid(home, "api") == api


def test_down_stops_everything(home: Path) -> None:
    stack.up(home, BOTH, command=FAKE)
    pids = [pid(home, name) for name in BOTH]
    assert stack.down(home)
    assert all(map(gone, pids))
    assert stack.status(home).state == "down"
    assert not stack.down(home)
    with pytest.raises(Retriable, match="metal up"):
        stack.endpoints(home)


def test_purge_leaves_what_others_put_there(home: Path) -> None:
    stack.up(home, {"api"}, command=FAKE)
    (home / "notes.txt").write_text("mine")
    stack.down(home, purge=True)
    assert [path.name for path in home.iterdir()] == ["notes.txt"]


def test_a_killed_child_is_started_again_with_growing_pauses(home: Path) -> None:
    stack.up(home, {"worker"}, command=FAKE)
    for restarts in (1, 2, 3):
        os.kill(pid(home, "worker"), signal.SIGKILL)
        killed = time.monotonic()
        eventually(
            lambda wanted=restarts: (
                (now := stack.status(home).services["worker"][0])["restarts"] == wanted and now["state"] == "ready"
            )
        )
        assert time.monotonic() - killed >= FIRST_DELAY * 2 ** (restarts - 1)
    assert stack.status(home).services["worker"][0]["reason"] == "killed by SIGKILL"


def test_backoff_doubles_to_ten_seconds_and_a_long_life_resets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("deploy.stack.child.time.monotonic", lambda: clock[0])
    child, pauses = Child("worker", 0, [1]), []
    for _ in range(8):
        child.started = clock[0]
        child.fail("died")
        pauses.append(child.resume_at - clock[0])
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    clock[0] += 30
    child.fail("died after a long life")
    assert child.resume_at - clock[0] == pytest.approx(FIRST_DELAY)


def test_an_up_that_fails_says_why_and_leaves_nothing(home: Path) -> None:
    with pytest.raises(Retriable, match=r"(?s)worker\.0 does not start: ended with exit code 1.*a planted failure"):
        stack.up(home, {"worker"}, command=(*FAKE, "--crash"))
    assert stack.status(home).state == "down"
    assert not record.alive(Layout.of(home))


def test_a_service_that_never_gets_ready_is_named(home: Path) -> None:
    with pytest.raises(Retriable, match=r"worker\.0 is not ready after 1 s"):
        stack.up(home, {"worker"}, command=(*FAKE, "--delay", "60"), timeout=1)
    assert stack.status(home).state == "down"


def test_down_in_the_middle_of_up(home: Path) -> None:
    raised: list[BaseException] = []

    def start() -> None:
        try:
            stack.up(home, BOTH, command=(*FAKE, "--delay", "60"))
        except Retriable as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    eventually(lambda: stack.status(home).state == "starting")
    stack.down(home)
    thread.join(10)
    assert "stopped while it started" in str(raised[0])
    assert stack.status(home).state == "down"
    assert not record.alive(Layout.of(home))


def test_children_outlive_a_killed_supervisor_and_are_adopted(home: Path) -> None:
    stack.up(home, BOTH, command=FAKE)
    before = {name: pid(home, name) for name in BOTH}
    supervisor = record.read(Layout.of(home)).supervisor
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    eventually(lambda: not supervisor.alive)
    assert stack.status(home).state == "unsupervised"
    assert stack.up(home, BOTH, command=FAKE).state == "up"
    assert {name: pid(home, name) for name in BOTH} == before
    os.kill(before["worker"], signal.SIGKILL)
    eventually(lambda: pid(home, "worker") not in {0, before["worker"]} and stack.status(home).state == "up")


def test_down_after_a_killed_supervisor(home: Path) -> None:
    stack.up(home, BOTH, command=FAKE)
    pids = [pid(home, name) for name in BOTH]
    supervisor = record.read(Layout.of(home)).supervisor
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert stack.down(home)
    assert all(map(gone, pids))


def test_a_child_that_no_record_names_is_replaced(home: Path) -> None:
    stack.up(home, {"worker"}, command=FAKE)
    first = pid(home, "worker")
    layout = Layout.of(home)
    supervisor = record.read(layout).supervisor
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    eventually(lambda: not supervisor.alive)
    (layout.run / "state.json").unlink()  # as if it died between the start and the record
    stack.up(home, {"worker"}, command=FAKE)
    assert gone(first)
    assert pid(home, "worker") != first


def test_a_stale_record_kills_no_foreign_process(home: Path) -> None:
    stack.up(home, {"worker"}, command=FAKE)
    stack.down(home)
    foreign = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        stale = {"pid": foreign.pid, "created": psutil.Process(foreign.pid).create_time() - 3600}
        child = {"name": "worker", "index": 0, "state": "ready", "ports": [1], "restarts": 0, "failures": 0}
        write_json(
            Layout.of(home).run / "state.json",
            {
                "supervisor": stale,
                "state": "running",
                "revision": 1,
                "children": [{**child, **stale, "reason": None}],
                "external": [],
            },
        )
        assert stack.status(home).state == "down"
        assert not stack.down(home)
        stack.up(home, {"worker"}, command=FAKE)
        assert stack.down(home)
        assert foreign.poll() is None
    finally:
        foreign.communicate(b"\n")


def test_ports_taken_since_last_time_are_replaced(home: Path) -> None:
    port = stack.up(home, {"api"}, command=FAKE).services["api"][0]["port"]
    stack.down(home)
    assert stack.up(home, {"api"}, command=FAKE).services["api"][0]["port"] == port
    stack.down(home)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen(1)
        found = stack.up(home, {"api"}, command=FAKE)
    assert found.state == "up"
    assert found.services["api"][0]["port"] != port


def test_a_removed_home_takes_everything_along(home: Path) -> None:
    stack.up(home, BOTH, command=FAKE)
    known = record.read(Layout.of(home))
    supervisor = known.supervisor
    assert supervisor is not None
    shutil.rmtree(home)
    eventually(lambda: not supervisor.alive and not known.living())
    assert not home.exists()


def test_what_nobody_asked_for_is_not_waited_for(home: Path) -> None:
    """A worker in trouble keeps nobody from scaling connect."""
    stack.up(home, {"worker", "connect"}, command=(*FAKE, "--crash-second"))
    os.kill(pid(home, "worker"), signal.SIGKILL)
    eventually(lambda: stack.status(home).services["worker"][0]["restarts"] >= 3)
    assert stack.scale({"connect": 0}, home).state == "degraded"


def test_scale_up_and_down_and_to_zero(home: Path) -> None:
    stack.up(home, {"worker", "connect"}, command=FAKE)
    first = pid(home, "worker")
    found = stack.scale({"worker": 3, "connect": 2}, home)
    assert (len(found.services["worker"]), len(found.services["connect"])) == (3, 2)
    pids = [process["pid"] for process in found.services["worker"]]
    assert len({process["port"] for process in found.services["worker"]}) == 3
    found = stack.scale({"worker": 1, "connect": 0}, home)
    eventually(lambda: len(stack.status(home).services["worker"]) == 1)
    assert pid(home, "worker") == first
    assert all(map(gone, pids[1:]))
    assert stack.status(home).services["connect"] == []


def test_scale_refuses_what_makes_no_sense(home: Path) -> None:
    with pytest.raises(InvalidInput, match="no such service"):
        stack.scale({"wroker": 2}, home)
    with pytest.raises(InvalidInput, match="2 processes; 0 to 1"):
        stack.scale({"kafka": 2}, home)
    with pytest.raises(Retriable, match="metal up"):
        stack.scale({"worker": 2}, home)


def test_two_homes_live_side_by_side(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    try:
        first, second = (stack.up(folder, {"api"}, command=FAKE) for folder in (home, other))
        assert first.endpoints["api"] != second.endpoints["api"]
        stack.down(home)
        assert stack.status(other).state == "up"
    finally:
        stack.down(other)
