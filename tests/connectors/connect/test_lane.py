"""A lane that dies between any two messages is gone on with from the log: nothing twice, nothing left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connectors.connect import metrics
from connectors.connect.lane import LaneReader, Signals, Surroundings
from connectors.connect.lane_state import LaneState
from connectors.connect.pace import Pace
from connectors.connect.pieces import Sent, pieces
from connectors.sources.contract import REJECTS, Chunk, Source, Split
from control_api.store.lanes import Lane, PlannedSplit
from schemas import batch, extracted
from schemas.columns import LINE
from schemas.headers import FINAL, Header
from schemas.task.model import Task
from tests.faults.rig import eventually

KEY = bytes(range(32))
TASK = Task.model_validate(
    {"task": "t", "tables": {"t": {"columns": {"a": {"type": "int64"}}, "sources": {"s": {"connector": "csv"}}}}}
)


class DiedError(Exception):
    """The process ends here."""


@dataclass
class Numbers:
    """Numbers from 0 on; every seventh can't be read. How many come at once differs each time it is read."""

    end: int
    random: Random
    unknown_columns: set[str] = field(default_factory=set)

    def splits(self) -> list[Split]:
        return [Split("all", self.end)]

    def read(self, split: Split, position: dict[str, Any] | None) -> Iterator[Chunk]:
        at = 0 if position is None else position["at"]
        while at < self.end:
            until = min(self.end, at + self.random.randint(1, 12))
            good = [n for n in range(at, until) if n % 7]
            bad = [{LINE: n, "_column": "a", "_reason": "is no number"} for n in range(at, until) if not n % 7]
            frame = pl.DataFrame({"a": good, LINE: good}, schema={"a": pl.Int64, LINE: pl.Int64})
            rejects = pl.DataFrame(bad, schema=REJECTS)
            at = until
            yield Chunk(frame, rejects, frame.height + rejects.height, {"at": at}, at == self.end)

    def close(self) -> None: ...


@dataclass
class Log:
    """What the broker has, told to whoever sent it at once."""

    partitions: int = 4
    messages: list[tuple[Header, bytes]] = field(default_factory=list)
    dies_at: int = -1

    def send(self, partition: int, header: Header, payload: bytes, delivered: Callable[[Header, int], None]) -> None:
        if len(self.messages) == self.dies_at:
            raise DiedError
        self.messages.append((header, payload))
        delivered(header, len(self.messages) - 1)

    def poll(self, seconds: float) -> None: ...

    def tell(self, key: str, payload: bytes) -> None: ...


def reader(log: Log, end: int, random: Random, generation: int) -> LaneReader:
    planned = PlannedSplit("t/s/all", 0, "t", "s", 0, {"name": "all", "size": end, "spec": {}})

    def opened(table: str, source: str) -> Source:
        return Numbers(end, random)

    around = Surroundings({}, cast(Any, log), KEY, opened, lambda: [planned], lambda *_: True, lambda: -1)
    run = cast(Any, SimpleNamespace(run="run", task="t", spec=TASK, mode="snapshot"))
    found = LaneReader(run, Lane("run", 0, generation, None, False), around, Signals())
    found.state = replayed(log)
    claim = found.header("claim", "", 0, -1, {}, sequence=-1)
    log.messages.append((claim, b""))
    found.state, found._delivered = replayed(log), replayed(log)
    return found


def replayed(log: Log) -> LaneState:
    state = LaneState()
    for header, _ in log.messages:
        state.apply(header)
    return state


def valid(log: Log) -> tuple[list[int], list[int], list[int]]:
    """(numbers, refused numbers, epochs) of the messages that count."""
    state = LaneState()
    good: list[int] = []
    bad: list[int] = []
    epochs: list[int] = []
    for header, payload in log.messages:
        if not state.apply(header) or header.kind == "claim":
            continue
        if header.kind == "barrier":
            epochs.append(header.epoch)
            continue
        rows, rejects, _ = extracted.unseal(payload, KEY)
        good += [] if rows is None else rows["a"].to_list()
        bad += [] if rejects is None else rejects[LINE].to_list()
        assert header.rows == (0 if rows is None else rows.height) + (0 if rejects is None else rejects.height)
    return good, bad, epochs


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(10, [8, 1], 2395, 1)  # read again in smaller chunks, and left among the rejects of one
@given(st.integers(0, 60), st.lists(st.integers(0, 12), max_size=6), st.integers(0, 2**32), st.sampled_from([1, 10**7]))
def test_any_crash_between_messages_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, end: int, crashes: list[int], seed: int, most: int
) -> None:
    """Also where rejected records take messages of their own."""
    monkeypatch.setattr(batch, "MAX_ROWS", 3)
    monkeypatch.setattr(batch, "PIECE_BYTES", most)
    log, random = Log(), Random(seed)
    for generation, after in enumerate([*crashes, None], 1):
        lane = reader(log, end, random, generation)
        log.dies_at = -1 if after is None else len(log.messages) + after
        try:
            lane.run_snapshot()
        except DiedError:
            continue
        break
    good, bad, epochs = valid(log)
    assert good == [n for n in range(end) if n % 7]
    assert bad == [n for n in range(end) if not n % 7]
    assert epochs == [FINAL]
    state = replayed(log)
    assert state.read.get("t", {"read": 0, "rejected": 0}) == {"read": end, "rejected": len(bad)}


def test_a_lane_that_was_read_to_its_end_sends_nothing_more() -> None:
    log = Log()
    reader(log, 20, Random(1), 1).run_snapshot()
    sent = len(log.messages)
    reader(log, 20, Random(2), 2).run_snapshot()
    assert [header.kind for header, _ in log.messages[sent:]] == ["claim"]


def test_a_lane_that_is_told_to_stop_ends_no_epoch() -> None:
    log = Log()
    lane = reader(log, 50, Random(1), 1)
    lane.signals.stop.set()
    lane.run_snapshot()
    assert valid(log) == ([], [], [])


def test_a_run_that_is_behind_gets_longer_epochs_and_no_longer_queue() -> None:
    """Nothing is stored at first; once it is the lane ends epochs again, and what was read meanwhile is not lost."""
    log = Log()
    lane = reader(log, 50, Random(1), 1)
    lane.run.spec = cast(Any, SimpleNamespace(epoch=0.02, tables=TASK.tables))
    stored = [-1]
    lane.around = replace(lane.around, closed=lambda: stored[0])
    before = metrics.HELD._value.get()
    thread = threading.Thread(target=lane.run_continuous, args=(lambda: None,), daemon=True)
    thread.start()
    most = Pace(0.02)._sent.maxlen or 0
    eventually(lambda: len(valid(log)[2]) == most, 20, "as many epochs are ended as may be under way")
    time.sleep(0.3)
    assert len(valid(log)[2]) == most
    assert metrics.HELD._value.get() > before
    stored[0] = valid(log)[2][-1]
    eventually(lambda: len(valid(log)[2]) > most, 20, "another epoch is ended")
    lane.signals.stop.set()
    thread.join(20)
    good, bad, epochs = valid(log)
    assert sorted(good + bad) == list(range(50))
    assert epochs == sorted(set(epochs))


def test_a_lane_that_is_to_finish_reads_what_is_there_and_ends_the_run() -> None:
    log, saved = Log(), []
    lane = reader(log, 50, Random(3), 1)
    lane.run.spec = cast(Any, SimpleNamespace(epoch=0.05, tables=TASK.tables))
    lane.around = replace(
        lane.around, finishing=lambda: True, save=lambda *given: saved.append(given[2]) or True, closed=lambda: FINAL
    )
    lane.run_continuous(lambda: None)
    good, bad, epochs = valid(log)
    assert sorted(good + bad) == list(range(50))
    assert epochs[-1] == FINAL
    assert saved[-1] is True  # nobody claims it again
    again = reader(log, 50, Random(4), 2)
    again.around = replace(again.around, closed=lambda: FINAL)
    sent = len(log.messages)
    again.run_continuous(lambda: None)
    assert len(log.messages) == sent


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 50),
    st.integers(0, 20),
    st.integers(0, 60),
    st.integers(0, 30),
    st.sampled_from([1, 200, 1_000, 10**7]),
)
def test_pieces_are_what_was_not_sent(
    monkeypatch: pytest.MonkeyPatch, rows: int, rejects: int, sent: int, sent_rejects: int, most: int
) -> None:
    monkeypatch.setattr(batch, "PIECE_BYTES", most)
    frame = pl.DataFrame({"a": list(range(rows))}, schema={"a": pl.Int64})
    fallen = [{LINE: n, "_reason": "is no number", "_raw": "x" * n * n} for n in range(rejects)]
    chunk = Chunk(frame, pl.DataFrame(fallen, schema=REJECTS), rows + rejects, {}, True)
    before = Sent(sent, sent_rejects)
    parts = pieces(chunk, before)
    assert parts
    assert [n for part in parts for n in part.rows["a"]] == list(range(min(sent, rows), rows))
    assert [n for part in parts for n in part.rejects[LINE]] == list(range(min(sent_rejects, rejects), rejects))
    for part in parts:
        held = [frame for frame in (part.rows, part.rejects) if frame.height]
        assert sum(frame.height for frame in held) <= 1 or sum(map(batch.most_bytes, held)) <= most
    assert parts[-1].sent == Sent(max(sent, rows), max(sent_rejects, rejects))
    assert before.behind(chunk) == Sent(max(0, sent - rows), max(0, sent_rejects - rejects))
    done = before  # of what was read in larger chunks, more than this one may have been sent
    for part in parts:
        done = Sent(done.rows + part.rows.height, done.rejects + part.rejects.height)
        assert part.sent == done
