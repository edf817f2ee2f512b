from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_api.store import lanes
from control_api.store.db import Connection
from control_api.store.lanes import PlannedSplit
from schemas.errors import NotFound
from schemas.run import REPLAY_LANE

NewRun = Callable[..., str]


def split(n: int, lane: int = 0) -> PlannedSplit:
    return PlannedSplit(f"thing/file/{n}", lane, "thing", "file", n, {"z": 1, "path": f"{n}.csv", "a": [n]})


@pytest.fixture
def planned(conn: Connection, new_run: NewRun) -> str:
    run = new_run()
    assert lanes.plan(conn, run, [split(n, n % 3) for n in range(6)], lanes=3, partitions=4)
    conn.commit()
    return run


def test_the_first_plan_wins(url: str, conn: Connection, new_run: NewRun) -> None:
    run = new_run()

    def plan(n: int) -> bool:
        with psycopg.connect(url) as own:
            return lanes.plan(own, run, [split(n)], lanes=n + 1, partitions=n + 1)

    with ThreadPoolExecutor(5) as pool:
        won = [n for n, first in enumerate(pool.map(plan, range(5))) if first]
    assert len(won) == 1
    rows = conn.execute("SELECT lane, done FROM metal.lanes WHERE run = %s ORDER BY lane", (run,)).fetchall()
    assert rows == [(REPLAY_LANE, True), *((lane, False) for lane in range(won[0] + 1))]
    assert lanes.splits_of(conn, run, 0) == [split(won[0])]
    with pytest.raises(NotFound):
        lanes.plan(conn, "none", [], 1, 1)


def test_splits_keep_their_order_and_their_spec(conn: Connection, planned: str) -> None:
    assert lanes.splits_of(conn, planned, 1) == [split(1, 1), split(4, 1)]
    assert list(lanes.splits_of(conn, planned, 1)[0].spec) == ["z", "path", "a"]
    assert lanes.add_splits(conn, planned, [split(4, 2), split(9, 1)]) == 1
    assert lanes.splits_of(conn, planned, 1) == [split(1, 1), split(4, 1), split(9, 1)]


def test_an_epoch_is_closed_once_every_producer_has_ended_it(conn: Connection, planned: str) -> None:
    assert lanes.closed(conn, planned) == -1
    for producer, epoch in (("merge/0", 7), ("merge/1", 5)):
        conn.execute("INSERT INTO metal.watermarks VALUES (%s, %s, 0, %s)", (planned, producer, epoch))
    assert lanes.closed(conn, planned) == 5
    assert lanes.closed(conn, "another") == -1


def test_what_is_claimed_is_claimed_until_the_lease_is_over(conn: Connection, planned: str) -> None:
    first = lanes.claim(conn, "a", 60, 2)
    assert [(one.lane, one.generation) for one in first] == [(0, 1), (1, 1)]
    assert [one.lane for one in lanes.claim(conn, "b", 60, 9)] == [2]
    assert lanes.claim(conn, "b", 60, 9) == []
    conn.execute("UPDATE metal.lanes SET lease_until = now() WHERE lane = 0")
    conn.commit()
    assert [(one.lane, one.generation) for one in lanes.claim(conn, "b", 60, 9)] == [(0, 2)]
    held = [(planned, 0, 1), (planned, 1, 1)]
    assert lanes.renew(conn, "a", 60, held) == {(planned, 1, 1)}
    assert lanes.renew(conn, "b", 60, [(planned, 1, 1)]) == set()
    assert not lanes.checkpoint(conn, planned, 0, 1, {"at": 1}, {}, True)
    assert lanes.checkpoint(conn, planned, 0, 2, {"at": 2}, {"thing": {"read": 5}}, False)
    lanes.release(conn, "b")
    again = lanes.claim(conn, "c", 60, 9)
    assert [(one.lane, one.generation, one.checkpoint) for one in again] == [(0, 3, {"at": 2}), (2, 2, None)]


def test_a_lane_stands_with_its_last_checkpoint_while_it_is_held(conn: Connection, planned: str) -> None:
    (first,) = lanes.claim(conn, "a", 60, 1)
    assert lanes.held(conn, first) == first
    assert lanes.checkpoint(conn, planned, first.lane, first.generation, {"offset": 7}, {}, False)
    stands = lanes.held(conn, first)
    assert stands is not None
    assert stands.checkpoint == {"offset": 7}
    conn.execute("UPDATE metal.lanes SET lease_until = now() WHERE lane = %s", (first.lane,))
    conn.commit()
    lanes.claim(conn, "b", 60, 1)
    assert lanes.held(conn, first) is None


@pytest.mark.parametrize(
    ("state", "ended", "given"),
    [
        ("running", False, True),
        ("prepared", False, True),
        ("prepared", True, False),
        ("paused", False, False),
        ("failed", True, False),
        ("stopped", False, False),
    ],
)
def test_lanes_of_which_runs_are_given(conn: Connection, planned: str, state: str, ended: bool, given: bool) -> None:
    conn.execute("UPDATE metal.runs SET state = %s, ended_at = CASE WHEN %s THEN now() END", (state, ended))
    assert bool(lanes.claim(conn, "a", 60, 9)) is given


def test_a_run_that_is_not_planned_has_no_lanes(conn: Connection, new_run: NewRun) -> None:
    new_run()
    assert lanes.claim(conn, "a", 60, 9) == []


def test_only_runs_that_are_asked_for(conn: Connection, planned: str, new_run: NewRun) -> None:
    other = new_run("other-bbbbbbbb")
    lanes.plan(conn, other, [], 1, 1)
    assert [one.run for one in lanes.claim(conn, "a", 60, 9, [other])] == [other]
    assert lanes.claim(conn, "a", 60, 9, []) == []


def test_a_lane_that_is_done_is_not_given_until_it_is_opened_again(conn: Connection, planned: str) -> None:
    (lane,) = lanes.claim(conn, "a", 60, 1)
    assert lanes.checkpoint(conn, planned, 0, lane.generation, {}, {}, True)
    lanes.release(conn, "a")
    assert 0 not in [one.lane for one in lanes.claim(conn, "b", 60, 9)]
    lanes.reopen(conn, planned, 0)
    (again,) = lanes.claim(conn, "c", 60, 9)
    assert again.lane == 0
    assert not again.done
    with pytest.raises(NotFound):
        lanes.reopen(conn, planned, 99)


def test_an_owner_that_is_about_to_report_done_does_not_close_a_lane_opened_meanwhile(
    conn: Connection, planned: str
) -> None:
    lanes.reopen(conn, planned)
    (lane,) = [one for one in lanes.claim(conn, "a", 60, 9) if one.lane == REPLAY_LANE]
    lanes.reopen(conn, planned)
    assert not lanes.checkpoint(conn, planned, REPLAY_LANE, lane.generation, {}, {}, True)
    assert [one.lane for one in lanes.claim(conn, "b", 60, 9)] == [REPLAY_LANE]


STEPS = st.lists(st.tuples(st.sampled_from(["claim", "expire", "renew", "checkpoint", "release"]), st.integers(0, 3)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_a_generation_has_one_owner(conn: Connection, planned: str, steps: list[tuple[str, int]]) -> None:
    owners: dict[tuple[int, int], str] = {}
    held: dict[str, set[tuple[str, int, int]]] = {}
    newest: dict[int, int] = {}
    for step, n in steps:
        owner = f"o{n}"
        mine = held.setdefault(owner, set())
        if step == "claim":
            for lane in lanes.claim(conn, owner, 60, n + 1):
                assert (lane.lane, lane.generation) not in owners
                assert lane.generation > newest.get(lane.lane, 0)
                owners[lane.lane, lane.generation] = owner
                newest[lane.lane] = lane.generation
                mine.add((lane.run, lane.lane, lane.generation))
        elif step == "expire":
            conn.execute("UPDATE metal.lanes SET lease_until = '-infinity' WHERE lane = %s", (n,))
        elif step == "renew":
            for kept in lanes.renew(conn, owner, 60, list(mine)):
                assert newest[kept[1]] == kept[2]
        elif step == "checkpoint":
            for run, lane, generation in mine:
                assert lanes.checkpoint(conn, run, lane, generation, {}, {}, False) is (newest[lane] == generation)
        else:
            lanes.release(conn, owner)
    conn.rollback()


def test_claims_at_once_share_the_lanes(url: str, conn: Connection, new_run: NewRun) -> None:
    run = new_run()
    lanes.plan(conn, run, [], 24, 4)
    conn.commit()

    def take(n: int) -> list[Any]:
        found: list[Any] = []
        with psycopg.connect(url) as own:
            while got := lanes.claim(own, f"o{n}", 60, 2):
                own.commit()
                found += [(one.lane, one.generation) for one in got]
        return found

    with ThreadPoolExecutor(6) as pool:
        taken = [one for found in pool.map(take, range(6)) for one in found]
    # one that finds the next lanes locked by another may leave early, but no lane is left to all of them
    assert sorted(taken) == [(lane, 1) for lane in range(24)]
