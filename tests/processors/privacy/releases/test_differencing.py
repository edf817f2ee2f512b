"""Two versions compared, against an attacker who goes through every way to match their records."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.releases import differencing, unlinked
from processors.privacy.releases.differences import (
    CAME,
    CHANGED,
    COMMON,
    LEFT,
    OUTSIDE_AFTER,
    OUTSIDE_BEFORE,
    UNDECIDED,
    VALUE,
)
from processors.privacy.releases.differencing import Comparison, compare

K, DISTINCT = 3, 2
Record = tuple[str, str]  # region, illness
Finding = tuple[str, Any, Any]


def table(rows: list[tuple[Any, ...]], *columns: str) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=list(columns), orient="row", infer_schema_length=None)


def meets(before: pl.Series, after: pl.Series) -> Any:
    return np.array([[touch(one, other) for other in after] for one in before]).reshape(len(before), len(after))


def touch(one: str, other: str) -> bool:
    (a, b), (c, d) = ([int(end) for end in region.split("-")] for region in (one, other))
    return a <= d and c <= b


def found(done: Comparison) -> set[Finding]:
    """Findings with the names of their regions instead of numbers."""
    before, after = done.before.to_series().to_list(), done.after.to_series().to_list()
    return {
        (kind, None if i is None else before[i], None if j is None else after[j])
        for kind, i, j, _, _ in done.found.rows()
    }


def matchings(before: list[Record], after: list[Record]) -> Iterator[list[tuple[int, int]]]:
    """Every way to say which records of the versions are the same; regions have to overlap, values to be equal."""

    def go(at: int, used: frozenset[int]) -> Iterator[list[tuple[int, int]]]:
        if at == len(before):
            yield []
            return
        for rest in go(at + 1, used):
            yield rest
        for j, (region, value) in enumerate(after):
            if j not in used and value == before[at][1] and touch(before[at][0], region):
                for rest in go(at + 1, used | {j}):
                    yield [(at, j), *rest]

    return go(0, frozenset())


def attack(before: list[Record], after: list[Record], k: int) -> set[Finding]:
    """What is the same in all ways that match the most records."""
    ways = list(matchings(before, after))
    most = max(len(way) for way in ways)
    groups: dict[Finding, list[list[str]]] = {}
    ways = [way for way in ways if len(way) == most]
    regions = [sorted({region for region, _ in side}) for side in (before, after)]
    blocks = blocks_of(*regions)
    for way in ways:
        to, back = dict(way), {j: i for i, j in way}
        for one in regions[0]:
            own = [i for i, (region, _) in enumerate(before) if region == one]
            add(groups, (LEFT, one, None), [before[i][1] for i in own if i not in to])
            near = [other for other in regions[1] if touch(one, other)]
            for other in near:
                inside = [i for i in own if i in to and after[to[i]][0] == other]
                add(groups, (COMMON, one, other), [before[i][1] for i in inside])
                if len(near) > 1:
                    add(groups, (OUTSIDE_AFTER, one, other), [before[i][1] for i in own if i not in inside])
        for other in regions[1]:
            own = [j for j, (region, _) in enumerate(after) if region == other]
            add(groups, (CAME, None, other), [after[j][1] for j in own if j not in back])
            near = [one for one in regions[0] if touch(one, other)]
            for one in near if len(near) > 1 else []:
                inside = [j for j in own if j in back and before[back[j]][0] == one]
                add(groups, (OUTSIDE_BEFORE, one, other), [after[j][1] for j in own if j not in inside])
        for n, (ones, others) in enumerate(blocks):
            if len(ones) > 1:
                left = [v for i, (region, v) in enumerate(before) if region in ones and i not in to]
                add(groups, (LEFT, n, "block"), left)
            if len(others) > 1:
                came = [v for j, (region, v) in enumerate(after) if region in others and j not in back]
                add(groups, (CAME, n, "block"), came)
    return set(judged(groups, before, after, blocks, k))


def add(groups: dict[Finding, list[list[str]]], key: Finding, values: list[str]) -> None:
    groups.setdefault(key, []).append(values)


def judged(groups: Any, before: list[Record], after: list[Record], blocks: Any, k: int) -> Iterator[Finding]:
    for (kind, one, other), ways in groups.items():
        if min(len(values) for values in ways) < 1:
            continue
        sides = [[v for region, v in before if region == one], [v for region, v in after if region == other]]
        name = (one, other)
        if other == "block":
            side, members = (before, blocks[one][0]) if kind == LEFT else (after, blocks[one][1])
            sides, name = [[v for region, v in side if region in members]], (None, None)
        held = [{value[0] for value in values} for values in sides]
        whole = {OUTSIDE_AFTER: sides[:1], OUTSIDE_BEFORE: sides[1:]}.get(kind, sides)
        if max(len(values) for values in ways) < min(k, *(len(values) for values in whole if values)):
            yield (kind, *name)
        possible = {value[0] for values in ways for value in values}
        if kind in (LEFT, CAME, COMMON) and len(possible) < min(DISTINCT, *(len(values) for values in held if values)):
            yield (VALUE, *name)


def blocks_of(before: list[str], after: list[str]) -> list[tuple[set[str], set[str]]]:
    blocks: list[tuple[set[str], set[str]]] = [({one}, set()) for one in before]
    for other in after:
        near = [block for block in blocks if any(touch(one, other) for one in block[0])]
        blocks = [block for block in blocks if block not in near]
        blocks.append((set().union(*(b[0] for b in near)), {other}.union(*(b[1] for b in near))))
    return blocks


regions = st.sampled_from(["0-0", "1-1", "0-1", "2-3", "0-3", "1-2", "3-3"])
records = st.lists(st.tuples(regions, st.sampled_from("xy")), max_size=6)


@settings(max_examples=75)
@given(records, records, st.integers(1, 3))
def test_findings_are_what_all_ways_to_match_have_in_common(before: list[Record], after: list[Record], k: int) -> None:
    frames = [table(rows, "age", "illness").cast(pl.String) for rows in (before, after)]
    done = compare(*frames, ["age"], ["illness"], k, distinct=DISTINCT, meets={"age": meets})
    assert found(done) == attack(before, after, k)
    assert done.safe == (not done.reason())


marked = st.lists(st.tuples(regions, st.sampled_from(["x1", "x2", "y1", "y2"])), max_size=6)


@settings(max_examples=40)
@given(marked, marked)
def test_records_are_matched_by_the_rest_as_well(before: list[Record], after: list[Record]) -> None:
    """What is sensitive is the first sign alone."""
    frames = [
        table([(age, mark[0], mark[1]) for age, mark in rows], "age", "illness", "rest").cast(pl.String)
        for rows in (before, after)
    ]
    done = compare(*frames, ["age"], ["illness"], K, distinct=DISTINCT, rest="rest", meets={"age": meets})
    assert found(done) == attack(before, after, K)


person = st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 6))


@settings(max_examples=45)
@given(st.dictionaries(st.integers(0, 12), person), st.dictionaries(st.integers(0, 12), person))
def test_linked_rows_fall_into_groups_of_k(before: dict[int, Any], after: dict[int, Any]) -> None:
    frames = [
        table([(i, *row) for i, row in side.items()], "id", "age", "illness", "who").cast(
            {"id": pl.Int64, "age": pl.String, "illness": pl.String, "who": pl.Int64}
        )
        for side in (before, after)
    ]
    done = compare(*frames, ["age"], ["illness"], K, identity="id", subject="who")
    groups: dict[Finding, list[Any]] = {}
    for i in before.keys() | after.keys():
        one, other = before.get(i), after.get(i)
        kind = LEFT if other is None else CAME if one is None else CHANGED if one[1] != other[1] else COMMON
        last = other or one
        add(groups, (kind, one and one[0], other and other[0]), [last[1], (one or other)[2]])
    expected: set[Finding] = set()
    for (kind, one, other), rows in groups.items():
        if len({who for _, who in rows}) < K:
            expected.add((kind, one, other))
        held = [
            {row[1] for row in side.values() if row[0] == region}
            for side, region in ((before, one), (after, other))
            if region
        ]
        if len({value for value, _ in rows}) < min(DISTINCT, *(len(values) for values in held)):
            expected.add((VALUE, one, other))
    assert found(done) == expected


def crowd(region: str, *illnesses: str) -> list[Record]:
    return [(region, illness) for illness in illnesses]


def check(before: list[Record], after: list[Record], k: int = K) -> set[Finding]:
    frames = [table(rows, "age", "illness") for rows in (before, after)]
    return found(compare(*frames, ["age"], ["illness"], k, meets={"age": meets}))


def test_one_who_joins_a_class_is_singled_out_with_the_value() -> None:
    before = crowd("0-9", "flu", "cold", "cough")
    assert check(before, [*before, *crowd("0-9", "ulcer")]) == {(CAME, None, "0-9"), (VALUE, None, "0-9")}
    assert check([*before, *crowd("0-9", "ulcer")], before) == {(LEFT, "0-9", None), (VALUE, "0-9", None)}
    assert check(before, before) == set()
    assert check(before, before * 2) == set()


def test_one_changed_value_is_one_who_left_and_one_who_came() -> None:
    told = check(crowd("0-9", "flu", "cold", "cough", "flu"), crowd("0-9", "flu", "cold", "cough", "ulcer"))
    assert {kind for kind, _, _ in told} == {LEFT, CAME, VALUE}


def test_a_region_inside_another_leaves_a_rest() -> None:
    """30 to 39 holds four, 30 to 34 three of them: the fourth is 35 or more, wherever the rest of the version is."""
    before = crowd("30-39", "flu", "cold", "cough", "ulcer")
    after = crowd("30-34", "flu", "cold", "cough")
    others = crowd("40-49", "flu", "cold", "cough")
    told = check([*before, *others], [*after, *crowd("35-49", "ulcer", "flu", "cold", "cough")])
    assert (COMMON, "30-39", "35-49") in told
    assert (VALUE, "30-39", "35-49") in told
    assert (OUTSIDE_AFTER, "30-39", "30-34") in told


def test_regions_cut_in_other_places_are_safe_where_enough_may_be_anywhere() -> None:
    same = ["flu", "cold"] * 6
    before = [*crowd("0-4", *same), *crowd("5-9", *same)]
    after = [*crowd("0-5", *same), *crowd("4-9", *same)]
    assert check(before, after) == set()


def test_labels_without_spans_and_nulls_are_equal_or_apart() -> None:
    before = table([("a", None), ("a", None), (None, 1), (None, 1)], "age", "zip")
    done = compare(before, pl.concat([before, before.head(1)]), ["age", "zip"], (), 2)
    assert done.found.rows() == [(CAME, None, 0, 1, 1)]
    assert done.reason() == "comparing both versions shows groups of fewer than 2 subjects or their values: 1 came"


def test_rows_of_one_subject_count_once() -> None:
    before = table([("a", i) for i in range(4)], "age", "who")
    after = pl.concat([before, table([("a", 9)] * 3, "age", "who")])
    assert compare(before, after, ["age"], (), 3).safe
    assert not compare(before, after, ["age"], (), 3, subject="who").safe


def test_a_block_that_is_too_large_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [pair for i in range(3) for pair in crowd(f"{i}-{i + 1}", "flu", "cold", "cough")]
    assert check(rows, rows) == set()
    for module, limit in ((differencing, "PAIRS"), (unlinked, "TRIPLES")):
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, 1)
            assert check(rows, rows) == {(UNDECIDED, None, None)}
    monkeypatch.setattr(unlinked, "ENOUGH", 1)
    apart = [*crowd("0-1", "flu", "cold", "cough"), *crowd("5-6", "flu", "cold", "cough")]
    assert {kind for kind, _, _ in check(apart, apart[1:5])} == {UNDECIDED, LEFT, VALUE}
    monkeypatch.setattr(unlinked, "STEPS", 1)
    assert check(rows, rows[2:]) == {(UNDECIDED, None, None)}


def test_every_pair_of_three_versions_is_an_attack_of_its_own() -> None:
    """Each step is harmless, the first and the last are not: publication has to be compared with every version."""
    people = list("abcdefghi")
    versions = [people[:6], people[:3], people[:3] + people[4:9]]
    frames = [table([(who, "0-9") for who in version], "id", "age") for version in versions]
    told = [compare(frames[i], frames[j], ["age"], (), K, identity="id").safe for i, j in combinations(range(3), 2)]
    assert told == [True, False, True]
