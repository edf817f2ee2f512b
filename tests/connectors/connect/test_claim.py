"""The first claim of a lane: whoever owns it next reads the log back, whatever of the claim or behind it arrived."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pytest
from confluent_kafka import Consumer, TopicPartition

from connectors.connect import service as module
from connectors.connect.lane import LaneReader, Signals, Surroundings
from connectors.connect.lane_state import LaneState
from connectors.connect.sender import Sender
from connectors.connect.service import Service
from connectors.sources.contract import REJECTS, Chunk, Source, Split
from connectors.topics_admin import ensure_topics
from control_api.store.lanes import Lane, PlannedSplit
from deploy.stack import Endpoints
from schemas import extracted, headers, topics
from schemas.columns import LINE
from schemas.errors import Retriable
from schemas.headers import FINAL, Header
from schemas.task.model import Task

KEY = bytes(range(32))
END = 40
TASK = Task.model_validate(
    {"task": "t", "tables": {"t": {"columns": {"a": {"type": "int64"}}, "sources": {"s": {"connector": "csv"}}}}}
)


class DiedError(Exception):
    """The process ends here."""


class Numbers:
    def splits(self) -> list[Split]:
        return [Split("all", END)]

    def read(self, split: Split, position: dict[str, Any] | None) -> Iterator[Chunk]:
        for at in range(0 if position is None else position["at"], END, 5):
            frame = pl.DataFrame({"a": range(at, at + 5), LINE: range(at, at + 5)})
            yield Chunk(frame, pl.DataFrame(schema=REJECTS), 5, {"at": at + 5}, at + 5 == END)

    def close(self) -> None: ...


class Dying(Sender):
    """The process dies when it would send its n-th message, or behind it."""

    def __init__(self, kafka: dict[str, Any], partitions: int, before: int | None) -> None:
        super().__init__(kafka, partitions)
        self.left = before

    def send(self, partition: int, header: Header, payload: bytes, delivered: Callable[[Header, int], None]) -> None:
        if self.left is not None:
            if self.left == 0:
                assert self.flush(20)
                raise DiedError
            self.left -= 1
        super().send(partition, header, payload, delivered)


@pytest.fixture
def kafka(stack: Endpoints) -> dict[str, Any]:
    return stack.kafka.confluent()


def owned(sender: Sender, kafka: dict[str, Any], run: str, generation: int) -> LaneReader:
    planned = PlannedSplit("t/s/all", 0, "t", "s", 0, {"name": "all", "size": END, "spec": {}})

    def opened(table: str, source: str) -> Source:
        return cast(Source, Numbers())

    around = Surroundings(kafka, sender, KEY, opened, lambda: [planned], lambda *_: True, lambda: -1)
    told = cast(Any, SimpleNamespace(run=run, task="t", spec=TASK, mode="snapshot"))
    return LaneReader(told, Lane(run, 0, generation, None, False), around, Signals())


def counted(kafka: dict[str, Any], run: str, partitions: int) -> tuple[list[int], list[int]]:
    """(numbers, epochs) of what counts at the receiving end."""
    place = TopicPartition(topics.EXTRACTED.name, topics.partition_of(run, 0, partitions), 0)
    consumer = Consumer({**kafka, "group.id": run, "enable.auto.commit": False})
    _, high = consumer.get_watermark_offsets(place, timeout=20)
    consumer.assign([place])
    state, numbers, epochs, at = LaneState(), list[int](), list[int](), -1
    while at < high - 1:
        message = consumer.poll(10)
        assert message is not None
        assert not message.error()
        at = message.offset() or 0
        pairs = dict(message.headers() or [])
        if pairs.get("run") != run.encode():
            continue
        header = headers.decode(pairs.items())
        if not state.apply(header):
            continue
        if header.kind == "barrier":
            epochs.append(header.epoch)
        elif header.kind == "data":
            rows, _, _ = extracted.unseal(message.value() or b"", KEY)
            numbers += [] if rows is None else rows["a"].to_list()
    consumer.close()
    return numbers, epochs


@pytest.mark.stack
@pytest.mark.parametrize("before", [0, 1, 2, 5, 9, 10])
@pytest.mark.parametrize("generation", [1, 2])
def test_the_next_owner_goes_on_where_the_first_died(kafka: dict[str, Any], before: int, generation: int) -> None:
    """0: its claim never left; 1: the claim stands alone in the log; 10: all was sent, nothing saved.

    Generation 1 is the first owner itself, trying again.
    """
    run, partitions = f"r{uuid.uuid4().hex[:12]}", ensure_topics(kafka)
    first = owned(Dying(kafka, partitions, before), kafka, run, 1)
    try:
        first.claim(first=True)
        first.run_snapshot()
    except DiedError:
        assert before < 10
    second = owned(Dying(kafka, partitions, None), kafka, run, generation)
    second.claim(first=False)
    assert second.state.generation == generation
    assert second.state.sequence == max(-1, before - 2)
    second.run_snapshot()
    assert counted(kafka, run, partitions) == (list(range(END)), [FINAL])


def test_only_the_first_try_of_the_first_owner_takes_the_log_for_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """After anything was retried, something of the lane may stand in the log: the claim is no longer the first."""
    monkeypatch.setattr(module.log, "warning", lambda *_, **__: None)

    def asked(generation: int, fails: int) -> list[bool]:
        tries: list[bool] = []

        def once(lane: Lane, signals: Any, first: bool) -> None:
            tries.append(first)
            if len(tries) <= fails:
                raise Retriable("the broker is away")

        quick = SimpleNamespace(is_set=lambda: False, wait=lambda _: None)
        service = cast(Any, SimpleNamespace(_read_once=once))
        Service._read(service, Lane("r", 0, generation, None, False), cast(Any, SimpleNamespace(stop=quick)))
        return tries

    assert asked(1, 0) == [True]
    assert asked(1, 2) == [True, False, False]
    assert asked(2, 1) == [False, False]


@pytest.mark.parametrize("lost", [False, True])
def test_who_tries_again_goes_on_from_its_own_last_checkpoint(monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    """The log before it may be trimmed by then: read back from the first checkpoint the lane would begin anew."""
    claimed = Lane("r", 0, 1, None, False)
    stands = None if lost else replace(claimed, checkpoint={"offset": 9, "epoch": -1, "state": {}})
    read: list[Lane] = []

    class Reader:
        def __init__(self, run: Any, lane: Lane, *_: Any) -> None:
            read.append(lane)

        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    monkeypatch.setattr(module, "LaneReader", Reader)
    monkeypatch.setattr(module, "get_run", lambda *_: SimpleNamespace(run="r", mode="snapshot"))
    monkeypatch.setattr(module.keys, "get_key", lambda *_: KEY)
    monkeypatch.setattr(module.lanes, "held", lambda _, lane: stands if lane == claimed else pytest.fail("another"))
    service = SimpleNamespace(
        _store=nullcontext, _master=b"", _kafka={}, _sender=None, _opener=lambda _: None, _discover=None
    )
    Service._read_once(cast(Any, service), claimed, Signals(), False)
    assert read == ([] if lost else [stands])
