"""Exports through the whole stack: what would tell on someone beside an earlier one does not leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_groups import Feed
from tests.faults.rig import Rig

pytestmark = pytest.mark.stack


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
