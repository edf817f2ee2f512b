"""Withheld groups against an attacker who knows all that is published and tries every table, or every difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.small_groups.atoms import RECORD, SUBJECTS, Grouped
from processors.privacy.small_groups.disclosure import COMPLEMENT, REASON, SMALL, counts, withhold

K = 3
DIMS = ("a", "b", "c")
Row = dict[str, Any]
Sets = list[frozenset[int]]


def table(rows: Iterable[tuple[int, Row]], by: tuple[str, ...], k: int = K, subject: str | None = None) -> Grouped:
    """Of numbered rows those that the table has."""
    here = list(rows)
    columns = dict.fromkeys((*by, *([subject] if subject else [])))
    frame = pl.DataFrame(
        {RECORD: [n for n, _ in here], **{name: [row[name] for _, row in here] for name in columns}},
        schema={RECORD: pl.Int64, **dict.fromkeys(columns, pl.Int64)},
    )
    return Grouped(frame, by, k, subject)


class Attack:
    """What is published of rows: sums over sets of kinds of rows, each kind as often as it is there.

    Rows of one kind are alike to every table. How many there are of a kind is what the attacker doesn't know.
    """

    def __init__(self, rows: list[Row], tables: list[Grouped], told: list[pl.DataFrame]) -> None:
        groups: list[dict[int, tuple[Any, ...]]] = [
            {row[RECORD]: tuple(row[name] for name in one.by) for row in one.records.iter_rows(named=True)}
            for one in tables
        ]
        kind_of = [tuple(own.get(n) for own in groups) for n in range(len(rows))]
        self.kinds = sorted(set(kind_of), key=repr)
        self.rows = [[n for n, kind in enumerate(kind_of) if kind == one] for one in self.kinds]
        self.sums: Sets = []
        self.small: Sets = []
        for at, (one, frame) in enumerate(zip(tables, told, strict=True)):
            for row in frame.iter_rows(named=True):
                group = tuple(row[name] for name in one.by)
                here = frozenset(i for i, kind in enumerate(self.kinds) if kind[at] == group)
                if row[REASON] is None:
                    self.sums.append(here)
                elif row[REASON] == SMALL:
                    self.small.append(here)

    def told(self) -> Sets:
        """Every set of kinds whose sum follows from what is published."""
        if not self.kinds:
            return []
        matrix = np.array([[i in one for i in range(len(self.kinds))] for one in self.sums], dtype=float)
        matrix = matrix.reshape(-1, len(self.kinds))
        _, values, vectors = np.linalg.svd(matrix, full_matrices=True)
        free = vectors[int((values > 1e-9).sum()) :]
        sets = np.array(list(product((0, 1), repeat=len(self.kinds)))[1:], dtype=float)
        fixed = sets[(np.abs(sets @ free.T) < 1e-9).all(axis=1)] if len(free) else sets
        return [frozenset(np.flatnonzero(row).tolist()) for row in fixed]

    def can_hold(self, kinds: frozenset[int], least: int) -> bool:
        """Whether some counts of kinds agree with all that is published and have so many rows in these."""
        counts = [len(rows) for rows in self.rows]
        left = [sum(counts[i] for i in one) for one in self.sums]
        order = sorted(range(len(counts)), key=lambda i: i not in kinds)

        def fill(at: int, wanted: int) -> bool:
            if at == len(order) or order[at] not in kinds:
                if wanted > 0:
                    return False
                if at == len(order):
                    return not any(left)
            kind = order[at]
            own = [i for i, one in enumerate(self.sums) if kind in one]
            most = min((left[i] for i in own), default=least)
            closing = {left[i] for i in own if not self.sums[i] & set(order[at + 1 :])}
            for count in closing if closing else range(most, -1, -1):
                if count > most:
                    continue
                for i in own:
                    left[i] -= count
                found = fill(at + 1, wanted - count)
                for i in own:
                    left[i] += count
                if found:
                    return True
            return False

        return fill(0, least)


@st.composite
def published(draw: st.DrawFn, filters: bool) -> tuple[list[Row], list[Grouped]]:
    """Rows in two or three columns, and tables by some of these; with `filters` each has the rows that it likes."""
    shape = draw(st.sampled_from([(4,), (2, 3), (2, 2, 2)]))
    cells = list(product(*map(range, shape)))
    times = draw(st.lists(st.integers(0, 5), min_size=len(cells), max_size=len(cells)))
    rows = [dict(zip(DIMS, cell, strict=False)) for cell, n in zip(cells, times, strict=True) for _ in range(n)]
    names = DIMS[: len(shape)]
    tables = []
    for _ in range(draw(st.integers(2, 3))):
        by = tuple(name for name in names if draw(st.booleans()))
        kept = draw(st.sets(st.sampled_from(cells), max_size=2)) if filters else set()
        tables.append(table(((n, row) for n, row in enumerate(rows) if tuple(row.values()) not in kept), by))
    return rows, tables


@settings(max_examples=60, deadline=None)
@given(published(filters=False))
def test_no_small_group_is_told_by_others_of_the_same_records(given_: tuple[list[Row], list[Grouped]]) -> None:
    rows, tables = given_
    told = withhold(tables)
    for one, frame in zip(tables, told, strict=True):
        sizes = frame[SUBJECTS].to_list()
        assert sum(sizes) == one.records.height
        assert [why == SMALL for why in frame[REASON]] == [size < K for size in sizes]
    attack = Attack(rows, tables, told)
    for here in attack.small:
        assert not here or attack.can_hold(here, K)
    assert all(sum(len(attack.rows[kind]) for kind in here) >= K for here in attack.told())


@settings(max_examples=60, deadline=None)
@given(published(filters=True))
def test_no_difference_of_two_published_totals_is_small(given_: tuple[list[Row], list[Grouped]]) -> None:
    """Tables with other filters: what one has beside the groups of the other."""
    rows, tables = given_
    told = withhold(tables)
    attack = Attack(rows, tables, told)
    for here in attack.small:
        assert not here or attack.can_hold(here, K)
    sizes = [len(own) for own in attack.rows]
    for one in attack.sums:
        for other in attack.sums:
            left = sum(sizes[i] for i in one - other)
            assert not (other < one and 0 < left < K), (one, other)
    assert all(sum(sizes[kind] for kind in here) >= K for here in attack.told())


@settings(max_examples=60, deadline=None)
@given(published(filters=False), st.integers(1, 4))
def test_where_subjects_are_in_several_rows_no_sum_is_of_fewer(
    given_: tuple[list[Row], list[Grouped]], people: int
) -> None:
    rows, tables = given_
    for n, row in enumerate(rows):
        row["who"] = n * 7 % (people * 3)
    named = [table(((n, rows[n]) for n in one.records[RECORD]), one.by, subject="who") for one in tables]
    attack = Attack(rows, named, withhold(named))
    for here in attack.told():
        who = {rows[n]["who"] for kind in here for n in attack.rows[kind]}
        assert len(who) >= K


COUNTED = st.tuples(st.sampled_from([2, 3, 5]), st.sampled_from(["who", None]))


@settings(max_examples=80, deadline=None)
@given(st.booleans().flatmap(published), st.lists(COUNTED, min_size=3, max_size=3))
def test_where_tables_count_differently_no_sum_is_of_fewer_than_all_of_them_ask(
    given_: tuple[list[Row], list[Grouped]], counted: list[tuple[int, str | None]]
) -> None:
    rows, tables = given_
    for n, row in enumerate(rows):
        row["who"] = n * 7 % 6
    tables = [
        table(((n, rows[n]) for n in one.records[RECORD]), one.by, k, subject)
        for one, (k, subject) in zip(tables, counted, strict=False)
    ]
    attack = Attack(rows, tables, withhold(tables))
    for here in attack.told():
        records = {n for kind in here for n in attack.rows[kind]}
        asked = [one for one in tables if records <= set(one.records[RECORD])]
        people = {rows[n]["who"] for n in records}
        assert not asked or any(len(people if one.subject else records) >= one.k for one in asked)


@settings(max_examples=20, deadline=None)
@given(published(filters=True), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(given_: tuple[list[Row], list[Grouped]], random: Any) -> None:
    _, tables = given_
    mixed = [
        Grouped(one.records.sample(fraction=1, shuffle=True, seed=random.randrange(99)), one.by, one.k)
        for one in tables
    ]
    assert all(one.equals(other) for one, other in zip(withhold(tables), withhold(mixed), strict=True))


def rows_of(cells: Mapping[Any, int]) -> list[Row]:
    return [dict(zip(DIMS, cell, strict=False)) for cell, n in cells.items() for _ in range(n)]


def reasons(told: pl.DataFrame, by: tuple[str, ...]) -> dict[tuple[Any, ...], str]:
    return {row[:-1]: row[-1] for row in told.filter(pl.col(REASON).is_not_null()).select(*by, REASON).rows()}


def test_a_group_that_totals_would_give_away_takes_others_with_it() -> None:
    """Rows and columns with totals: one small group needs a rectangle; without totals it goes alone."""
    cells = {(0, 0): 2, (0, 1): 20, (0, 2): 9, (1, 0): 30, (1, 1): 7, (1, 2): 8, (2, 0): 6, (2, 1): 40, (2, 2): 50}
    rows = list(enumerate(rows_of(cells)))
    whole = table(rows, ("a", "b"), 5)
    assert reasons(withhold([whole])[0], ("a", "b")) == {(0, 0): SMALL}
    both = withhold([whole, *(table(rows, by, 5) for by in (("a",), ("b",), ()))])
    # of the four rectangles the one of fewest subjects
    hidden = {(0, 0): SMALL, (0, 2): COMPLEMENT, (1, 0): COMPLEMENT, (1, 2): COMPLEMENT}
    assert reasons(both[0], ("a", "b")) == hidden
    assert counts(both[0]) == {SMALL: 1, COMPLEMENT: 3}
    assert all(counts(one) == {SMALL: 0, COMPLEMENT: 0} for one in both[1:])


def test_where_nothing_else_is_left_the_total_goes() -> None:
    def of(cells: dict[tuple[int, ...], int]) -> list[list[str | None]]:
        rows = list(enumerate(rows_of(cells)))
        return [one[REASON].to_list() for one in withhold([table(rows, ("a",), 5), table(rows, (), 5)])]

    assert of({(0,): 2}) == [[SMALL], [SMALL]]
    assert of({(0,): 2, (1,): 2}) == [[SMALL, SMALL], [SMALL]]
    assert of({(0,): 2, (1,): 3}) == [[SMALL, SMALL], [None]]  # all five may be in either
    assert of({(0,): 1, (1,): 5}) == [[SMALL, COMPLEMENT], [None]]
    assert of({}) == [[], [SMALL]]
    assert of({(0,): 5}) == [[None], [None]]
    nothing, rows = table([], ("a",), 5), list(enumerate(rows_of({(0,): 5})))
    assert [one[REASON].to_list() for one in withhold([nothing, table(rows, ("a",), 5)])] == [[], [None]]
    both = [table(enumerate(rows_of({(0,): 5, (1,): 1})), ("a",), 5), nothing, table(rows, ("a",), 5), table([], (), 5)]
    assert [one[REASON].to_list() for one in withhold(both)] == [[None, SMALL], [], [None], [SMALL]]


def test_the_records_that_a_filter_leaves_out_are_not_told_by_subtracting() -> None:
    """Twenty of Oslo, one of them a child: all and the adults may not both be told."""
    rows = [{"a": 0, "b": 0}] + [{"a": 0, "b": 1}] * 19 + [{"a": 1, "b": 1}] * 30
    everyone = table(enumerate(rows), ("a",), 5)
    adults = table(((n, row) for n, row in enumerate(rows) if row["b"]), ("a",), 5)
    told = withhold([everyone, adults])
    assert [reasons(one, ("a",)) for one in told] == [{}, {(0,): COMPLEMENT}]
    many = [{"a": 0, "b": 0}] * 6 + rows
    six = table(((n, row) for n, row in enumerate(many) if row["b"]), ("a",), 5)
    told = withhold([table(enumerate(many), ("a",), 5), six])
    assert [counts(one) for one in told] == [{SMALL: 0, COMPLEMENT: 0}] * 2


def test_what_two_filters_leave_out_together_is_not_told() -> None:
    rows = [{"a": 0, "b": None}] * 2 + [{"a": 0, "b": 0}] * 20 + [{"a": 0, "b": 1}] * 20
    parts = [table(((n, row) for n, row in enumerate(rows) if row["b"] == b), ("a",), 5) for b in (0, 1)]
    told = withhold([table(enumerate(rows), ("a",), 5), *parts])
    assert sum(counts(one)[COMPLEMENT] for one in told) == 1


def test_weeks_and_months_do_not_tell_what_is_between() -> None:
    """Two records stand in January and in its last week; the rest of that week is in February."""
    rows = [{"a": 1, "b": 1}] * 20 + [{"a": 5, "b": 1}] * 2 + [{"a": 5, "b": 2}] * 20
    told = withhold([table(enumerate(rows), ("a",), 5), table(enumerate(rows), ("b",), 5)])
    assert sum(counts(one)[COMPLEMENT] for one in told) > 0
    assert sum(counts(one)[SMALL] for one in told) == 0


def test_a_table_may_count_people_and_another_one_records() -> None:
    rows = [{"a": 0, "who": 1}] * 9 + [{"a": 1, "who": n} for n in range(9)]
    people = table(enumerate(rows), ("a",), 5, subject="who")
    records = table(enumerate(rows), ("a",), 5)
    told = withhold([people, records])
    assert reasons(told[0], ("a",)) == {(0,): SMALL}
    assert reasons(told[1], ("a",)) == {(0,): COMPLEMENT}  # it would tell what the other withholds
    assert withhold([records])[0][REASON].to_list() == [None, None]


def test_no_name_is_one_subject_and_texts_dates_and_nulls_group_as_well() -> None:
    rows = pl.DataFrame({RECORD: range(9), "city": ["Oslo"] * 6 + [None] * 3, "who": [*"abcd", None, None, *"xyz"]})
    told = withhold([Grouped(rows, ("city",), 5, "who")])[0]
    assert told.rows() == [("Oslo", 5, None), (None, 3, SMALL)]
    assert reasons(withhold([Grouped(rows, ("city",), 3, "who"), Grouped(rows, (), 3, "who")])[1], ()) == {}
