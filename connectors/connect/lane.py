"""Reads one lane of a run: claims it in the log, goes on where the log says, sends batches and barriers.

What always holds: a batch carries its split's position behind it, so the log alone says where to go on; a batch counts
only under the lane's newest generation, so whoever lost the lane can send what it likes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog

from connectors.connect import metrics
from connectors.connect.lane_state import LaneState
from connectors.connect.pace import Pace
from connectors.connect.pieces import Sent, pieces
from connectors.connect.recover import read_back
from connectors.connect.sender import Sender
from connectors.failpoints import hit
from connectors.sources.contract import Chunk, Source, Split
from control_api.store.lanes import Lane, PlannedSplit
from control_api.store.runs import Run
from schemas import events, extracted, topics
from schemas.headers import FINAL, Header
from schemas.run import REPLAY_LANE

log = structlog.get_logger()

ALONE = 30.0  # seconds that a split which always has more is read for, where no other waits


@dataclass
class Signals:
    """What the service tells a lane: to stop, or to wait."""

    stop: threading.Event = field(default_factory=threading.Event)
    paused: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Surroundings:
    """What a lane needs of the process it runs in."""

    kafka: dict[str, Any]
    sender: Sender
    key: bytes = field(repr=False)
    open_source: Callable[[str, str], Source]
    splits: Callable[[], list[PlannedSplit]]
    save: Callable[[dict[str, Any], dict[str, Any], bool], bool]  # checkpoint, read counts, done
    closed: Callable[[], int]  # the last epoch of the run that stands in the review store
    finishing: Callable[[], bool] = lambda: False  # whether the run is to end with what its sources have


class LaneReader:
    def __init__(self, run: Run, lane: Lane, around: Surroundings, signals: Signals) -> None:
        self.run = run
        self.lane = lane
        self.signals = signals
        self.around = around
        self._producer = f"lane/{lane.lane}"
        logical = 0 if lane.lane == REPLAY_LANE else lane.lane
        self._partition = topics.partition_of(run.run, logical, around.sender.partitions)
        self.state = LaneState()  # of what was handed to the producer
        self._delivered = LaneState()  # of what the broker has
        self._offset = -1
        self._lock = threading.Lock()
        self._saved = 0.0
        self._bytes = 0  # sent by this owner
        self._sources: dict[tuple[str, str], Source] = {}

    # The log.

    def claim(self, first: bool) -> None:
        """Fences earlier owners and takes over where the last valid batch in the log ends.

        `first`: nothing of this lane can stand in the log, neither an earlier owner's nor of an earlier try of ours.
        """
        claimed = threading.Event()
        found: list[int] = []

        def delivered(_: Header, offset: int) -> None:
            found.append(offset)
            claimed.set()

        header = self.header("claim", "", 0, -1, {}, sequence=-1)
        self.around.sender.send(self._partition, header, b"", delivered)
        while not claimed.is_set():
            self.around.sender.poll(0.05)
        if not first:
            self.state = read_back(
                self.around.kafka,
                self._partition,
                self.run.run,
                self._producer,
                self.lane.checkpoint,
                found[0],
            )
        else:
            self.state.apply(header)
        self._delivered = LaneState.decode(self.state.encode())
        self._offset = found[0]
        log.info(
            "lane claimed",
            run=self.run.run,
            lane=self.lane.lane,
            generation=self.lane.generation,
            sequence=self.state.sequence,
        )

    def header(
        self, kind: Any, table: str, rows: int, epoch: int, extra: dict[str, Any], sequence: int | None = None
    ) -> Header:
        number = self.state.sequence + 1 if sequence is None else sequence
        return Header(
            kind,
            self.run.task,
            self.run.run,
            table,
            self._producer,
            self.lane.generation,
            number,
            epoch,
            rows,
            extra,
        )

    def send(self, header: Header, payload: bytes) -> None:
        self.state.apply(header)
        self._bytes += len(payload)
        self.around.sender.send(self._partition, header, payload, self._on_delivered)
        hit("connect.after_produce")

    def _on_delivered(self, header: Header, offset: int) -> None:
        with self._lock:
            self._delivered.apply(header)
            self._offset = max(self._offset, offset)

    def save(self, done: bool = False) -> None:
        """A hint for whoever comes next, and what was read so far for whoever looks."""
        with self._lock:
            checkpoint = {"offset": self._offset, "epoch": self._delivered.epoch, "state": self._delivered.encode()}
            read = {table: dict(counts) for table, counts in self._delivered.read.items()}
        if not self.around.save(checkpoint, read, done):
            self.signals.stop.set()
        self._saved = time.monotonic()
        self._tell(read, done)

    def _tell(self, read: dict[str, dict[str, int]], done: bool) -> None:
        event = {
            "run": self.run.run,
            "task": self.run.task,
            "producer": self._producer,
            "at": time.time(),
            "epoch": self._delivered.epoch,
            "records": sum(counts["read"] for counts in read.values()),
            "bytes": self._bytes,
            "total": None,
            "done": done,
        }
        self.around.sender.tell(f"{self.run.run}/{self._producer}", events.encode("run_progress", event))

    # Sources.

    def source(self, table: str, name: str) -> Source:
        if (table, name) not in self._sources:
            self._sources[table, name] = self.around.open_source(table, name)
        return self._sources[table, name]

    def close(self) -> None:
        for source in self._sources.values():
            source.close()

    def going(self) -> bool:
        """False when the lane has to be left; waits while the run is paused."""
        while self.signals.paused.is_set() and not self.signals.stop.is_set():
            self.around.sender.poll(0.05)
        return not self.signals.stop.is_set()

    def read_split(self, planned: PlannedSplit, tick: Callable[[], None]) -> Iterator[None]:
        """From where the log says to the split's present end; yields after every chunk."""
        source = self.source(planned.table, planned.source)
        at = self.state.positions.get(planned.split, {"position": None})
        split = Split(planned.spec["name"], planned.spec["size"], planned.spec["spec"])
        sent = Sent(at.get("skip", 0), at.get("skip_rejects", 0))
        position = at["position"]
        for chunk in source.read(split, position):
            if not self.going():
                return
            self._send_chunk(planned, chunk, position, sent)
            position, sent = chunk.position, sent.behind(chunk)
            tick()
            if time.monotonic() - self._saved > 1.0:
                self.save()
            yield

    def _send_chunk(self, planned: PlannedSplit, chunk: Chunk, before: Any, sent: Sent) -> None:
        """In pieces that fit a message; a piece but the last says how much of the chunk went before it."""
        parts = pieces(chunk, sent)
        for number, (rows, rejects, done) in enumerate(parts):
            last = number == len(parts) - 1
            at = sent.behind(chunk) if last else done
            extra = {
                "split": planned.split,
                "source": list(self.run.spec.tables[planned.table].sources).index(planned.source),
                "name": planned.source,
                "position": chunk.position if last else before,
                "skip": at.rows,
                "skip_rejects": at.rejects,
                "rejects": rejects.height,
                "at": time.time(),
            }
            header = self.header("data", planned.table, rows.height + rejects.height, 0, extra)
            self.send(header, extracted.seal(rows, rejects, self.around.key))
            metrics.RECORDS.inc(header.rows)
            metrics.REJECTED.inc(rejects.height)

    def barrier(self, epoch: int) -> None:
        self.send(self.header("barrier", "", 0, epoch, {"read": self.state.read}), b"")

    # The two ways of reading.

    def run_snapshot(self) -> None:
        if self.state.epoch < FINAL:
            for planned in self.around.splits():
                for _ in self.read_split(planned, lambda: None):
                    pass
                if not self.going():
                    return
            self.barrier(FINAL)
        if self.flush():
            self.save(done=True)

    def run_continuous(self, discover: Callable[[], None]) -> None:
        length = self.run.spec.epoch
        turn = min(1.0, length / 2)
        looked = asked = 0.0
        pace, held = Pace(length), 0

        def tick() -> None:
            nonlocal asked, held
            now = int(time.time() / length)
            if now <= self.state.epoch:
                return
            clock = time.monotonic()
            if clock - asked > (0.1 if pace.holds(clock) else 1.0):
                pace.closed(self.around.closed())
                asked = clock
            if pace.holds(clock):
                if now > held:
                    metrics.HELD.inc()
                held = now
                return
            self.barrier(now)
            pace.sent(now, clock)

        splits: list[PlannedSplit] = []
        last = False
        while self.state.epoch < FINAL and self.going():
            if time.monotonic() - looked > 1.0:
                last = self.around.finishing()
                discover()
                splits = self.around.splits()
                looked = time.monotonic()
            began = time.monotonic()
            for planned in splits:
                until = time.monotonic() + (turn if len(splits) > 1 and not last else ALONE)
                for _ in self.read_split(planned, tick):
                    if time.monotonic() > until:
                        break
                if not self.going():
                    break
            if last and self.going():
                self.barrier(FINAL)
                continue
            tick()
            if time.monotonic() - self._saved > 1.0:
                self.save()
            # A pause gathers what trickles in into one batch, and ends with the epoch; what piles up is read without.
            pause = min(0.1, length / 10) - (time.monotonic() - began)
            self.around.sender.poll(max(0.0, min(pause, length - time.time() % length)))
        if self.state.epoch >= FINAL and self.flush():
            self.save(done=True)

    def flush(self) -> bool:
        while self.going():
            with self._lock:
                if self._delivered.sequence >= self.state.sequence:
                    return True
            self.around.sender.poll(0.02)
        return False
