"""The review writer while its servers fail under it: what was not stored is stored later, once, and /ready says so."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql

from deploy import stack
from tests.faults.feeds import Family
from tests.faults.inject import kill
from tests.faults.rig import Rig, eventually

pytestmark = [pytest.mark.stack, pytest.mark.faults]

MOUNTS = sys.platform == "linux" and os.geteuid() == 0
Full = Callable[[Rig, str], AbstractContextManager[None]]


def _ready(rig: Rig) -> tuple[int, str]:
    port = stack.status(rig.home).services["review"][0]["port"]
    answer = httpx.get(f"http://127.0.0.1:{port}/ready", timeout=10)
    return answer.status_code, answer.text


@contextmanager
def _fed(family: Family, changes: int = 60) -> Iterator[None]:
    """The sources grow while the block runs."""
    over = threading.Event()

    def feed() -> None:
        while not over.wait(0.1):
            family.step(changes)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


@pytest.mark.parametrize(("server", "number"), [("postgres", signal.SIGQUIT), ("kafka", signal.SIGKILL)])
def test_a_server_stops_at_once_while_review_stores(
    rig: Rig, tmp_path: Path, fault_seed: int, fault_rounds: int, server: str, number: signal.Signals
) -> None:
    """SIGQUIT is PostgreSQL's immediate stop: no checkpoint, every session cut off."""
    draw, family = random.Random(fault_seed), Family(tmp_path, seed=fault_seed)
    family.step(2_000)
    task = family.task(f"review_without_{server}")
    run = rig.start(task)
    with _fed(family):
        for _ in range(fault_rounds if server == "postgres" else 1):  # a broker takes half a minute to come back
            time.sleep(draw.uniform(0.3, 1.5))
            (pid,) = rig.pids(server)
            assert kill(pid, number)
            eventually(partial(_again, rig, server, pid), 30, f"{server} runs again")
            rig.ready()
    rig.settles(run, lambda: family.oracle(task), seconds=90)


def _again(rig: Rig, server: str, gone: int) -> bool:
    return rig.pids(server) not in ([gone], [])


def _execute(rig: Rig, *texts: sql.Composed) -> None:
    with psycopg.connect(rig.ends.postgres.url, autocommit=True) as connection:
        for text in texts:
            connection.execute(text)


@contextmanager
def _mounted(rig: Rig, run: str) -> Iterator[None]:
    """The table lies on a small disk, and a file takes what is free there."""
    folder = rig.home / "postgres" / "small"
    folder.mkdir()
    owner = folder.parent.stat()
    options = f"size=64m,mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
    table = sql.Identifier(f"outbox_{run}", "child")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        (folder / "data").mkdir()
        os.chown(folder / "data", owner.st_uid, owner.st_gid)
        place = sql.Literal(str(folder / "data"))
        _execute(
            rig,
            sql.SQL("CREATE TABLESPACE small LOCATION {}").format(place),
            sql.SQL("ALTER TABLE {} SET TABLESPACE small").format(table),
        )
        filler = folder / "filler"
        _fill(filler)
        try:
            yield
        finally:
            filler.unlink()
            back = sql.SQL("ALTER TABLE {} SET TABLESPACE pg_default").format(table)
            _execute(rig, back, sql.SQL("DROP TABLESPACE small").format())
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        while shutil.disk_usage(filler.parent).free >= 4096:
            file.write(bytes(4096))


@contextmanager
def _raised(rig: Rig, run: str) -> Iterator[None]:
    """The server raises what it raises for a full disk, on every write to the table."""
    function, table = sql.Identifier(f"outbox_{run}", "full"), sql.Identifier(f"outbox_{run}", "child")
    body = sql.SQL("BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END")
    _execute(
        rig,
        sql.SQL("CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}").format(
            function, sql.Literal(body.as_string(None))
        ),
        sql.SQL("CREATE TRIGGER full_disk BEFORE INSERT ON {} EXECUTE FUNCTION {}()").format(table, function),
    )
    yield
    _execute(rig, sql.SQL("DROP FUNCTION {} CASCADE").format(function))


@pytest.mark.parametrize("full", [_raised, *([_mounted] if MOUNTS else [])])
def test_a_full_disk_is_waited_for(rig: Rig, tmp_path: Path, fault_seed: int, full: Full) -> None:
    family = Family(tmp_path, seed=fault_seed, children=200_000)
    family.step(2_000)
    task = family.task("full" + full.__name__)
    run = rig.start(task)
    rig.settles(run, lambda: family.oracle(task))
    with full(rig, run):
        family.step(8_000)
        eventually(lambda: "DiskFull" in _ready(rig)[1], 20, "review says that the disk is full")
        seen, until = set(), time.monotonic() + 4
        while time.monotonic() < until:
            family.step(50)
            code, reason = _ready(rig)
            seen.add((code, "metal.outbox/" in reason and "DiskFull" in reason))
            time.sleep(0.1)
        assert seen == {(503, True)}
        assert rig.state(run) == "running"
    rig.ready()
    rig.settles(run, lambda: family.oracle(task), seconds=60)
