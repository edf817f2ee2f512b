"""Splits fall evenly to lanes, the same way every time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.connect.planning import MAX_LANES, PARTITION_BYTES, assign, choose
from schemas.task.model import Task

sizes = st.lists(st.integers(0, 10**10), min_size=1, max_size=40)


def task(**more: Any) -> Task:
    return Task.model_validate({"task": "t", "tables": {"t": {}}, **more})


def listed(of: list[int]) -> list[tuple[str, str, str, int, dict[str, object]]]:
    return [("table", "source", f"split{i}", size, {"at": i}) for i, size in enumerate(of)]


@given(sizes, st.integers(1, 8))
def test_every_split_has_one_lane_and_none_waits_for_another(of: list[int], lanes: int) -> None:
    planned = assign(listed(of), lanes)
    assert [one.ordinal for one in planned] == list(range(len(of)))
    assert len({one.split for one in planned}) == len(of)
    assert {one.lane for one in planned} <= set(range(lanes))
    loads = [sum(of[one.ordinal] for one in planned if one.lane == lane) for lane in range(lanes)]
    assert max(loads) - min(loads) <= max(of) + len(of)
    if len(of) >= lanes:
        assert {one.lane for one in planned} == set(range(lanes))
    assert assign(listed(of), lanes) == planned


@given(sizes, st.integers(1, 64), st.sampled_from(["snapshot", "continuous"]))
def test_lanes_and_partitions_fit_the_topics(of: list[int], total: int, mode: str) -> None:
    lanes, partitions = choose(task(mode=mode), of, total)
    assert 1 <= lanes <= min(total, MAX_LANES, len(of))
    assert 1 <= partitions <= total


def test_partitions_follow_the_data_unless_the_task_says() -> None:
    assert choose(task(), [1000], 16) == (1, 1)
    assert choose(task(), [PARTITION_BYTES - 1], 16) == (1, 1)
    assert choose(task(), [PARTITION_BYTES], 16) == (1, 2)
    assert choose(task(), [PARTITION_BYTES * 7], 16) == (1, 4)
    assert choose(task(), [PARTITION_BYTES << 20], 16) == (1, 16)
    assert choose(task(), [], 16) == (1, 1)
    assert choose(task(partitions=4), [1000], 16) == (1, 4)
    assert choose(task(partitions=64), [1000], 16) == (1, 16)
