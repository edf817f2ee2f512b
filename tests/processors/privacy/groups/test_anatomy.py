"""Anatomization against the published algorithm, a search for any partition, and the bound on its error."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.randomness import Draw
from processors.privacy.groups.anatomy import (
    Anatomized,
    Infeasible,
    anatomize,
    eligible,
    picks,
)
from processors.privacy.groups.matchings import set_apart
from processors.wrong_config import MisfitError

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


def drawn(rows: int, key: bytes = KEY, first: int = 0) -> Draw:
    return Draw(key, "person", pl.Series("_id", range(first, first + rows), dtype=pl.Int64))


def table(values: list[Any], subjects: list[Any] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {"row": range(len(values)), "illness": values, "who": subjects or list(range(len(values)))}, strict=False
    )


def records(frame: pl.DataFrame, done: Anatomized) -> list[list[dict[str, Any]]]:
    """The true records of each group; `row` stands in QIT so that tests can look behind it."""
    joined = done.qit.join(frame, on="row", how="left", maintain_order="left")
    return [part.to_dicts() for part in joined.partition_by("group")]


def can_be_parted(rows: list[tuple[int, int]], least: int) -> bool:
    """Whether any partition has groups of so many records, no value and no subject twice in one: tries them all."""

    def place(rest: list[tuple[int, int]], groups: list[list[tuple[int, int]]]) -> bool:
        if not rest:
            return all(len(group) >= least for group in groups)
        if sum(max(0, least - len(group)) for group in groups) > len(rest):
            return False
        value, subject = rest[0]
        for group in groups:
            if all(value != v and subject != s for v, s in group):
                group.append(rest[0])
                if place(rest[1:], groups):
                    return True
                group.pop()
        return place(rest[1:], [*groups, [rest[0]]])

    return place(rows, [])


def error_of(groups: list[list[dict[str, Any]]]) -> float:
    """By the definition: for each record the squared distance of what its group says from what is true."""
    total = 0.0
    for group in groups:
        told = Counter(row["illness"] for row in group)
        for row in group:
            total += sum((count / len(group) - (value == row["illness"])) ** 2 for value, count in told.items())
    return total


@settings(max_examples=45)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=9), st.integers(2, 4), st.booleans())
def test_there_are_groups_exactly_when_a_search_finds_some(
    rows: list[tuple[int, int]], diversity: int, by_subject: bool
) -> None:
    pairs = [(value, subject if by_subject else i) for i, (value, subject) in enumerate(rows)]
    frame = table([value for value, _ in pairs], [subject for _, subject in pairs])
    done = anatomize(frame, ["row"], "illness", diversity, drawn(frame.height), "who" if by_subject else None)
    assert isinstance(done, Anatomized) == can_be_parted(pairs, diversity)
    if isinstance(done, Infeasible):
        for larger in range(max(2, done.nearest + 1), diversity):
            assert not can_be_parted(pairs, larger)
        assert done.nearest < 2 or can_be_parted(pairs, done.nearest)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from([None, "a", "b", "c", "d", "e", "f"]), st.integers(0, 25)), max_size=80),
    st.integers(2, 4),
    st.booleans(),
)
def test_groups_hold_what_they_promise(rows: list[tuple[Any, int]], diversity: int, by_subject: bool) -> None:
    frame = table([value for value, _ in rows], [subject for _, subject in rows])
    done = anatomize(frame, ["row"], "illness", diversity, drawn(len(rows)), "who" if by_subject else None)
    most = max(Counter(value for value, _ in rows).values(), default=0)
    if by_subject:
        most = max(most, *Counter(who for _, who in rows).values(), 0)
    if most * diversity > len(rows):
        assert isinstance(done, Infeasible)
        assert (done.most, done.records, done.nearest) == (most, len(rows), len(rows) // most)
        return
    assert isinstance(done, Anatomized)
    assert sorted(done.qit["row"]) == list(range(len(rows)))
    groups = records(frame, done)
    assert len(groups) == done.groups == len(rows) // diversity
    told = Counter({(g, v): n for g, v, n in done.st.rows()})
    true = Counter(done.qit.join(frame, on="row").select("group", "illness").rows())
    assert told == true
    for group in groups:
        assert len({row["illness"] for row in group}) == len(group) >= diversity
        assert not by_subject or len({row["who"] for row in group}) == len(group)
    # no set of groups of this diversity has less error, and this one has at most a record's share more
    error = error_of(groups)
    bound = len(rows) * (1 - 1 / diversity)
    assert bound - 1e-9 <= error <= bound * (1 + 1 / max(1, len(rows))) + 1e-9
    if len(rows) % diversity == 0:
        assert error == pytest.approx(bound)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(2, 5))
def test_each_group_takes_from_the_largest_buckets(counts: list[int], diversity: int) -> None:
    if max(counts) * diversity > sum(counts):
        return
    bucket, group, made = picks(np.array(counts), diversity)
    taken: dict[int, list[int]] = {}
    for b, g in zip(bucket.tolist(), group.tolist(), strict=True):
        taken.setdefault(g, []).append(b)
    left = list(counts)
    assert sorted(taken) == list(range(made))
    for g in range(made):
        assert len(set(taken[g])) == len(taken[g]) == diversity
        assert sorted(left[b] for b in taken[g]) == sorted(left)[-diversity:]
        for b in taken[g]:
            left[b] -= 1
    assert min(left) >= 0
    assert max(left) <= 1
    assert sum(left) < diversity


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(2, 5), st.randoms(use_true_random=False))
def test_subjects_come_apart_where_nothing_is_to_spare(number: int, diversity: int, random: Any) -> None:
    """As many records of each subject and value as there are groups: random exchanges alone get stuck here."""
    pairs = [(i, (i + j) % diversity) for i in range(diversity) for j in range(diversity) for _ in range(number)]
    pairs = [pair for k, pair in enumerate(pairs) if k % diversity == 0 or random.random() < 0.5]
    values, subjects = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    groups_needed = int(max(np.bincount(values).max(), np.bincount(subjects).max()))
    least = len(pairs) // groups_needed
    start = np.empty(len(pairs), dtype=np.int64)
    start[np.argsort(values, kind="stable")] = np.arange(len(pairs)) % groups_needed
    groups = set_apart(start, values, subjects, least, drawn(len(pairs)))
    assert set(groups.tolist()) == set(range(groups_needed))
    for g in range(groups_needed):
        own = groups == g
        assert own.sum() >= least
        assert len(set(values[own])) == len(set(subjects[own])) == own.sum()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 6)), max_size=12), st.integers(2, 3), st.booleans())
def test_what_is_eligible_can_be_anatomized_and_no_more(
    rows: list[tuple[str, int]], diversity: int, by_subject: bool
) -> None:
    frame = table([value for value, _ in rows], [who for _, who in rows])
    subject = "who" if by_subject else None
    kept = eligible(frame, "illness", diversity, drawn(frame.height), subject)
    part = frame.filter(kept)
    own = Draw(KEY, "person", drawn(frame.height).identities.filter(kept))
    assert isinstance(anatomize(part, ["row"], "illness", diversity, own, subject), Anatomized)
    if isinstance(anatomize(frame, ["row"], "illness", diversity, drawn(frame.height), subject), Anatomized):
        assert kept.all()
    if not by_subject:
        counts = Counter(value for value, _ in rows).values()
        parts = product(*(range(count + 1) for count in counts))
        assert part.height == max(sum(some) for some in parts if max(some, default=0) * diversity <= sum(some))


def test_the_reason_names_the_nearest_that_can_be_met() -> None:
    done = anatomize(table(["flu"] * 4 + ["cold"] * 3 + ["cough"] * 2), ["row"], "illness", 3, drawn(9))
    assert isinstance(done, Infeasible)
    assert str(done) == (
        "groups of 3 different values can't be formed: 4 of 9 records have the same illness; "
        "the nearest that can be met is 2"
    )
    alone = anatomize(table(["flu"] * 4), ["row"], "illness", 2, drawn(4))
    assert str(alone).endswith("no diversity can be met")
    crowd = anatomize(table(list("abcdef"), [1, 1, 1, 1, 2, 3]), ["row"], "illness", 3, drawn(6), "who")
    assert isinstance(crowd, Infeasible)
    assert (crowd.of, crowd.nearest) == ("who", 1)


def test_outputs_depend_on_identities_and_key_and_not_on_the_order_of_rows() -> None:
    frame = table([f"v{i % 7}" for i in range(700)])
    done = anatomize(frame, ["row"], "illness", 3, drawn(700))
    mixed = pl.Series(range(700)).shuffle(seed=1)
    again = anatomize(frame[mixed], ["row"], "illness", 3, Draw(KEY, "person", drawn(700).identities.gather(mixed)))
    other = anatomize(frame, ["row"], "illness", 3, drawn(700, OTHER))
    later = anatomize(frame, ["row"], "illness", 3, drawn(700), release="2")
    assert isinstance(done, Anatomized)
    assert isinstance(again, Anatomized)
    assert isinstance(other, Anatomized)
    assert isinstance(later, Anatomized)
    assert done.qit.equals(again.qit)
    assert done.st.equals(again.st)
    for one in (other, later):
        assert not set(done.qit["group"]) & set(one.qit["group"])
        assert done.qit["row"].to_list() != one.qit["row"].to_list()
    assert done.qit.columns == ["row", "group"]
    assert done.st.columns == ["group", "illness", "count"]


def test_orders_and_names_tell_nothing_of_each_other() -> None:
    rows = 6_000
    frame = table([f"v{i % 6}" for i in range(rows)])
    done = anatomize(frame, ["row"], "illness", 3, drawn(rows))
    assert isinstance(done, Anatomized)
    place = done.qit.with_row_index("q").join(frame, on="row")
    place = place.join(done.st.with_row_index("s"), on=["group", "illness"])
    numbers = place.select(pl.col("q", "s", "row", "group").rank())
    for one, other in (("q", "s"), ("q", "row"), ("q", "group"), ("s", "row"), ("s", "group"), ("row", "group")):
        assert abs(numbers.select(pl.corr(one, other)).item()) < 5 / rows**0.5, (one, other)


def test_many_rows_take_little_time_for_each() -> None:
    """The frequencies of a real column, and some subjects with several records: no path through plain Python."""
    rows = 200_000
    at = np.arange(rows)
    frame = pl.DataFrame({"row": at, "illness": (at * 2654435761 % 1000) // 130 * 10 + at % 40, "who": at // 4})
    done = anatomize(frame, ["row"], "illness", 5, drawn(rows), "who")
    assert isinstance(done, Anatomized)
    joined = done.qit.join(frame, on="row").group_by("group")
    seen = joined.agg(pl.len(), v=pl.col("illness").n_unique(), w=pl.col("who").n_unique())
    assert (
        seen.select((pl.col("len") >= 5) & (pl.col("v") == pl.col("len")) & (pl.col("w") == pl.col("len")))
        .to_series()
        .all()
    )


def test_wrong_use_is_refused() -> None:
    frame = table(list("abcd"))
    with pytest.raises(MisfitError, match="at least 2"):
        anatomize(frame, ["row"], "illness", 1, drawn(4))
    with pytest.raises(MisfitError, match="illness twice"):
        anatomize(frame, ["row", "illness"], "illness", 2, drawn(4))
    with pytest.raises(MisfitError, match="count twice"):
        anatomize(frame.rename({"row": "count"}), ["count"], "illness", 2, drawn(4))
    with pytest.raises(ValueError, match="identity of its own"):
        anatomize(frame, ["row"], "illness", 2, Draw(KEY, "person", pl.Series([1, 1, 2, 3])))
