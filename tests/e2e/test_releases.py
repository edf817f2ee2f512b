"""Exports through the whole stack: what would tell on someone beside an earlier one does not leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e import test_windows as windows
from tests.e2e.test_groups import Feed
from tests.faults.rig import Rig, eventually
from tests.oracle import prepare
from tests.oracle.prepare import load_task

pytestmark = pytest.mark.stack

CITY = """
  city:
    from: {person: {}}
    transform: [{aggregate: {by: [person.city], columns: {n: "count(*)", years: "sum(person.age)"}}}]
"""


def export(rig: Rig, run: str, table: str, to: Path) -> tuple[int, str]:
    done = rig.metal("outbox", "export", run, "--table", table, "--output", str(to))
    assert to.exists() == (done.returncode == 0)
    return done.returncode, done.stderr


def compared(rig: Rig, run: str, table: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = rig.call("GET", f"/runs/{run}/outbox/{table}/check")["against"]
    return found


def test_versions_that_tell_on_someone_beside_an_earlier_one_do_not_leave(rig: Rig, tmp_path: Path) -> None:
    feed = Feed(tmp_path, seed=6)
    feed.tell(range(200))
    task = feed.task("versions", "snapshot")

    def export(to: str) -> tuple[str, int, str]:
        run = rig.start(task)
        rig.wait(run)
        done = rig.metal("outbox", "export", run, "--table", "person", "--output", str(tmp_path / to))
        return run, done.returncode, done.stderr

    first, code, _ = export("first")
    assert code == 0
    assert export("again")[1] == 0  # of the same people
    feed.tell(range(200, 201))
    run, code, said = export("one more")
    assert code == 2
    assert f"compared with what was exported of run {first}" in said
    assert "groups of fewer than 4" in said
    assert not (tmp_path / "one more").exists()
    checked = rig.metal("outbox", "check", run, "--table", "person", "--json")
    assert checked.returncode == 1
    assert [one["run"] for one in json.loads(checked.stdout)["against"]] == [first]
    (tmp_path / "person.jsonl").unlink()
    feed.tell(range(1000, 1200))
    assert export("others")[1] == 0  # the published keys tell that these are other people


def test_states_of_a_run_in_windows_leave_one_after_the_other(rig: Rig, tmp_path: Path) -> None:
    feed = windows.Feed(tmp_path, seed=11)
    path = tmp_path / "windows.task.yaml"
    path.write_text(windows.TASK.replace("task: windows", "task: exported"))
    feed.tell(range(240))
    run = rig.start(path)
    eventually(lambda: len(rig.rows(run, "person")) > 150, 60, "windows are published")
    assert export(rig, run, "person", tmp_path / "first")[0] == 0
    before = {row["id"]: row for row in rig.rows(run, "person")}
    for people, op in ((range(240, 400), "u"), (range(20, 60), "u"), (range(100, 140), "d")):
        feed.tell(people, op)
    eventually(lambda: windows.read(rig, run, feed.told) and not windows.waiting(rig, run), 60, "nobody waits")
    after = {row["id"]: row for row in rig.rows(run, "person")}
    assert before.keys() - after.keys()
    assert after.keys() - before.keys()
    assert [one["found"] for one in compared(rig, run, "person")] == [{}]
    assert export(rig, run, "person", tmp_path / "second")[0] == 0
    left = rig.call("GET", f"/runs/{run}/releases")["releases"]
    assert [(one["run"], one["table"]) for one in left] == [(run, "person")] * 2
    rig.call("POST", f"/runs/{run}/stop")


def test_states_of_a_regrouped_run_leave_only_if_nobody_is_told_by_both(rig: Rig, tmp_path: Path) -> None:
    """Groups of records and, beside them, totals: one person who came is told by either."""
    feed = Feed(tmp_path, seed=12)
    path = feed.task("regrouped", "continuous")
    path.write_text(path.read_text() + CITY)
    feed.tell(range(200))
    run = rig.start(path)
    rig.settles(run, lambda: prepare(load_task(path), tmp_path))
    assert [export(rig, run, table, tmp_path / f"{table}.1")[0] for table in ("person", "city")] == [0, 0]
    feed.tell(range(200, 201))
    rig.settles(run, lambda: prepare(load_task(path), tmp_path))
    for table, told in (("person", "of who came"), ("city", "1 groups that changed by fewer")):
        code, said = export(rig, run, table, tmp_path / f"{table}.2")
        assert code == 2
        assert f"compared with what was exported of run {run}" in said
        assert told in said
    feed.tell(range(201, 260))
    rig.settles(run, lambda: prepare(load_task(path), tmp_path))
    assert export(rig, run, "city", tmp_path / "city.3")[0] == 0
    assert len(compared(rig, run, "city")) == 0  # exactly this left
    rig.call("POST", f"/runs/{run}/stop")
