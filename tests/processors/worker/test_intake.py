"""What counts of a lane, whatever owners, workers and their ghosts send, against a plain oracle."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.connect.lane_state import LaneState
from processors.worker.intake import add_counts, closing, take
from processors.worker.ledger import Progress
from schemas.headers import FINAL, Header


def message(kind: Any, generation: int, sequence: int, epoch: int = 0, lane: int = 0) -> Header:
    extra = {"split": "s", "position": sequence, "skip": 0, "rejects": 0} if kind == "data" else {}
    return Header(kind, "task", "run", "table", f"lane/{lane}", generation, sequence, epoch, 1, extra)


def written(random: Random, owners: int) -> list[Header]:
    """A lane's log: each owner claims, goes on where valid messages end, and sends on after it was fenced."""
    log: list[Header] = []
    state = LaneState()
    ghosts: list[list[Header]] = []
    for generation in range(1, owners + 1):
        claim = message("claim", generation, -1)
        state.apply(claim)
        log.append(claim)
        for _ in range(random.randrange(5)):
            if ghosts and random.random() < 0.5:
                log.extend(ghosts.pop(random.randrange(len(ghosts))))
            kind = "barrier" if random.random() < 0.2 else "data"
            sent = message(kind, generation, state.sequence + 1, state.epoch + 1)
            state.apply(sent)
            log.append(sent)
        first = state.sequence + 1
        ghosts.append([message("data", generation, first + n) for n in range(random.randrange(3))])
    for ghost in ghosts[:-1]:
        log.extend(ghost)
    return log


def counts(log: list[Header]) -> list[Header]:
    """The oracle: of each stretch between claims what its own claimer sent."""
    owner, valid = 0, []
    for sent in log:
        if sent.kind == "claim":
            owner = max(owner, sent.generation)
        elif sent.generation == owner:
            valid.append(sent)
    return valid


def forwarded(log: list[Header], random: Random, workers: int) -> list[Header]:
    """What a merge partition gets: every worker forwards in order, from where at most everything was acknowledged."""
    at = [0] * workers
    arrived: list[Header] = []
    durable = 0
    while durable < len(log):
        worker = random.randrange(workers)
        if random.random() < 0.1:  # it takes the partition over, from what was acknowledged
            at[worker] = random.randrange(durable + 1)
        if at[worker] > durable:
            continue
        arrived.append(log[at[worker]])
        at[worker] += 1
        durable = max(durable, at[worker])
    return arrived


def taken(arrived: list[Header]) -> list[Header]:
    progress = Progress()
    return [sent for offset, sent in enumerate(arrived) if take(progress, offset, sent) in ("taken", "ended")]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 3))
def test_each_valid_message_counts_once_and_in_order(seed: int, owners: int, workers: int) -> None:
    random = Random(seed)
    log = written(random, owners)
    assert taken(forwarded(log, random, workers)) == counts(log)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_the_next_owner_goes_on_where_the_stages_are(seed: int, owners: int) -> None:
    """Both ends judge alike: what connect reads back is what merge has taken in."""
    log = written(Random(seed), owners)
    state = LaneState()
    accepted = [sent for sent in log if state.apply(sent) and sent.kind != "claim"]
    assert accepted == taken(log)
    assert state.sequence == (accepted[-1].sequence if accepted else -1)
    assert LaneState.decode(state.encode()) == state


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 30))
def test_a_partition_that_is_read_again_from_anywhere_takes_nothing_twice(seed: int, crash: int) -> None:
    log = written(Random(seed), 3)
    progress = Progress()
    first = [sent for offset, sent in enumerate(log[:crash]) if take(progress, offset, sent) in ("taken", "ended")]
    progress = Progress.decode(progress.encode())
    start = Random(seed + 1).randrange(min(crash, len(log)) + 1)
    again = [
        sent
        for offset, sent in enumerate(log)
        if offset >= start and take(progress, offset, sent) in ("taken", "ended")
    ]
    assert first + again == counts(log)


def closed(progress: Progress, *ends: tuple[str, int]) -> int | None:
    for producer, epoch in ends:
        progress.seen[producer] = [1, 0, epoch]
    return closing(progress, ["lane/0", "lane/1"])


def test_an_epoch_is_closed_when_every_lane_has_ended_it() -> None:
    progress = Progress()
    assert closed(progress, ("lane/0", 7)) is None
    assert closed(progress, ("lane/1", 5)) == 5
    progress.epoch = 5
    assert closed(progress) is None
    assert closed(progress, ("lane/1", 9)) == 7


def test_replays_close_again_once_every_source_was_read() -> None:
    progress = Progress()
    assert closed(progress, ("lane/-1", FINAL + 1), ("lane/0", FINAL)) is None
    assert closed(progress, ("lane/1", FINAL)) == FINAL + 1
    progress.epoch = FINAL + 1
    assert closed(progress, ("lane/-1", FINAL + 2)) == FINAL + 2


def test_the_newest_extraction_time_is_kept() -> None:
    progress = Progress()
    for sequence, at in enumerate([5.0, 9.0, 7.0, None]):
        sent = Header("data", "t", "r", "x", "lane/0", 0, sequence, 0, 1, {"at": at})
        assert take(progress, sequence, sent) == "taken"
    assert progress.at == 9.0


def test_counts_are_added_rule_by_rule() -> None:
    total: dict[str, Any] = {}
    add_counts(total, {"read": 3, "dropped": {"a.x": 1}})
    add_counts(total, {"read": 2, "rejected": 1, "dropped": {"a.x": 2, "b.y": 1}})
    assert total == {"read": 5, "rejected": 1, "dropped": {"a.x": 3, "b.y": 1}}
