"""Groups by windows through the whole engine: whatever somebody reads, and whenever, it singles nobody out."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import psycopg
import pytest
from psycopg import sql

from processors.privacy.releases.differencing import compare
from tests.faults.inject import kill_service
from tests.faults.rig import Rig, eventually

pytestmark = pytest.mark.stack

K, L, DELAY = 4, 2, 1.0
TASK = """
task: windows
mode: continuous
epoch: 0.3
tables:
  person:
    columns:
      id:   {type: int64}
      seq:  {type: int64}
      who:  {type: string}
      age:  {type: int64}
      city: {type: string}
      ill:  {type: string}
    primary_key: {column: id, conflicts: {prefer: [feed]}}
    sources:
      feed: {connector: jsonl, path: person.jsonl, changes: {order_by: seq, delete: {column: op, equals: d}}}
    anonymize:
      - method: generalize
        quasi_identifiers: [age, city]
        k: 4
        subject: who
        l: [{column: ill, l: 2}]
        grain: {age: {step: 5}}
        suppression_limit: 0.9
        window: {records: 60, delay: 1}
"""


class Feed:
    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw, self.seq = folder, Random(seed), 0
        (folder / "person.jsonl").touch()
        self.here: set[int] = set()
        self.told = 0

    def tell(self, people: range, op: str = "u") -> None:
        lines = []
        for person in people:
            self.seq += 1
            told = {
                "id": person,
                "seq": self.seq,
                "op": op,
                "who": f"p{person // 2}",
                "age": self.draw.randrange(18, 90),
            }
            told |= {"city": self.draw.choice(["Oslo", "Rome"]), "ill": self.draw.choice(["flu", "cold", "none"])}
            lines.append(json.dumps(told) + "\n")
        with (self.folder / "person.jsonl").open("a") as file:
            file.write("".join(lines))
        self.told += len(people)
        self.here = self.here - set(people) if op == "d" else self.here | set(people)


class Reader(threading.Thread):
    """Somebody who reads the review store all the time, and keeps what differs."""

    def __init__(self, rig: Rig, run: str) -> None:
        super().__init__(daemon=True)
        self._url = rig.ends.postgres.url
        self._rows = sql.SQL("SELECT _id, who, age, city, ill FROM {}").format(
            sql.Identifier(f"outbox_{run}", "person")
        )
        self.states: list[dict[int, tuple[str, ...]]] = [{}]
        self.over = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self.over.wait(0.03):
                self.look(connection)

    def look(self, connection: psycopg.Connection[Any]) -> None:
        state = {row[0]: row[1:] for row in connection.execute(self._rows)}
        if state != self.states[-1]:
            self.states.append(state)

    def end(self) -> None:
        self.over.set()
        self.join(10)
        with psycopg.connect(self._url) as connection:
            self.look(connection)


def keeps(state: dict[int, tuple[str, ...]]) -> bool:
    groups: defaultdict[tuple[str, str], list[tuple[str, ...]]] = defaultdict(list)
    for row in state.values():
        groups[row[1], row[2]].append(row)
    return all(len({r[0] for r in rows}) >= K and len({r[3] for r in rows}) >= L for rows in groups.values())


def frame(state: dict[int, tuple[str, ...]]) -> pl.DataFrame:
    schema = {"id": pl.Int64, "who": pl.String, "age": pl.String, "city": pl.String, "ill": pl.String}
    return pl.DataFrame([(i, *row) for i, row in state.items()], schema=schema, orient="row")


def check(states: list[dict[int, tuple[str, ...]]]) -> None:
    seen: dict[int, tuple[str, ...]] = {}
    gone: set[int] = set()
    for before, after in pairwise(states):
        assert keeps(after)
        gone |= before.keys() - after.keys()
        assert not gone & after.keys()  # what was taken back never comes again
        assert all(seen.setdefault(i, row) == row for i, row in after.items())  # no record in two versions
    apart = max(1, len(states) // 12)
    frames = [frame(state) for state in states[::-apart]]  # the last, and others spread evenly
    for n, after in enumerate(frames):
        for before in frames[n + 1 :]:
            found = compare(before, after, ["age", "city"], ["ill"], K, distinct=L, identity="id", subject="who")
            assert found.safe, found.reason()


def test_no_two_states_single_anyone_out_while_records_come_change_and_go(rig: Rig, tmp_path: Path) -> None:
    feed, draw = Feed(tmp_path, seed=7), Random(7)
    path = tmp_path / "windows.task.yaml"
    path.write_text(TASK)
    feed.tell(range(6))  # three people, who wait
    run = rig.start(path)
    reader = Reader(rig, run)
    waits = {"generalize.waiting": 6}
    eventually(lambda: rig.report(run)["tables"]["person"]["dropped"] == waits, 60, "six records wait")
    reader.start()
    try:
        feed.tell(range(6, 400))
        eventually(lambda: len(reader.states[-1]) > 300, 60, "windows are full and published")
        assert kill_service(rig, "worker", draw)
        for people, op in (
            (range(400, 520), "u"),
            (range(40, 90), "u"),
            (range(100, 160), "d"),
            (range(520, 560), "u"),
        ):
            feed.tell(people, op)
            time.sleep(0.4)
        rig.ready()
        eventually(lambda: read(rig, run, feed.told), 60, "all records are read")
        eventually(lambda: not waiting(rig, run), 3 * DELAY + 10, "nothing waits for more than three windows")
        feed.tell(range(560, 572))  # less than a window, and the run ends at once
        rig.call("POST", f"/runs/{run}/finish")
        report = rig.wait(run)
    finally:
        reader.end()
    counts = report["tables"]["person"]
    assert set(counts["dropped"]) == {"generalize.suppressed"}
    assert counts["prepared"] == len(reader.states[-1]) > 100
    assert counts["read"] == counts["prepared"] + counts["merged"] + sum(counts["dropped"].values())
    assert counts["prepared"] + counts["dropped"]["generalize.suppressed"] == len(feed.here)
    assert len(reader.states) > 5
    check(reader.states)
    _certified(rig, run, tmp_path)


def read(rig: Rig, run: str, told: int) -> bool:
    return bool(rig.report(run)["tables"]["person"]["read"] == told)


def waiting(rig: Rig, run: str) -> int:
    return int(rig.report(run)["tables"]["person"]["dropped"].get("generalize.waiting", 0))


def _certified(rig: Rig, run: str, folder: Path) -> None:
    certificate, rows = folder / "person.cert.json", folder / "person.parquet"
    made = rig.metal("certificate", "show", run, "--table", "person", "--output", str(certificate))
    assert made.returncode == 0, made.stderr
    out = rig.metal("outbox", "export", run, "--table", "person", "--format", "parquet", "--output", str(rows))
    assert out.returncode == 0, out.stderr
    verified = rig.metal("certificate", "verify", str(certificate), str(rows))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_run_that_leaves_out_more_than_it_may_halts_and_says_so(rig: Rig, tmp_path: Path) -> None:
    feed = Feed(tmp_path, seed=8)
    feed.tell(range(120))
    path = tmp_path / "strict.task.yaml"
    path.write_text(
        TASK.replace("task: windows", "task: strict").replace("suppression_limit: 0.9", "suppression_limit: 0.05")
    )
    run = rig.start(path)
    eventually(lambda: len(rig.rows(run, "person")) >= 60, 60, "the first window is published")
    feed.tell(range(40))  # all of them change
    report = rig.wait(run, state="failed")
    assert "table person: " in report["reason"]
    assert "suppression_limit is 0.05: allow " in report["reason"]
