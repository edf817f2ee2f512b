"""What published totals tell by any sum of them, against an attacker who tries every set of records there is."""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.small_groups import audit
from processors.privacy.small_groups.atoms import RECORD, SUBJECTS, Grouped, Marks, atoms_of, groups_of
from processors.privacy.small_groups.audit import withhold_told
from processors.privacy.small_groups.disclosure import REASON, SMALL, withhold
from tests.processors.privacy.small_groups.test_disclosure import Attack, Row, published, table


def audited(rows: list[Row], tables: list[Grouped], k: int) -> tuple[list[Marks], list[set[int]], list[set[int]]]:
    """What was withheld more than the small groups, and the small sets that were told before and are after."""
    groups = [groups_of(one) for one in tables]
    small = [frame[SUBJECTS].to_numpy() < k for frame in groups]
    hidden = [mask.copy() for mask in small]
    withhold_told(atoms_of(tables, groups), hidden)

    def told(masks: list[Marks]) -> list[set[int]]:
        reasons = [pl.Series(REASON, [SMALL if one else None for one in mask], pl.String) for mask in masks]
        attack = Attack(rows, tables, [frame.with_columns(one) for frame, one in zip(groups, reasons, strict=True)])
        sets = [{n for kind in here for n in attack.rows[kind]} for here in attack.told()]
        return [own for own in sets if len({rows[n].get("who", n) for n in own}) < k]

    more = [now & ~before for now, before in zip(hidden, small, strict=True)]
    return more, told(small), told(hidden)


@settings(max_examples=200, deadline=None)
@given(st.booleans().flatmap(published), st.integers(2, 5), st.sampled_from([0, 2, 3]))
def test_no_small_set_is_told_and_where_none_was_nothing_more_is_withheld(
    given_: tuple[list[Row], list[Grouped]], k: int, people: int
) -> None:
    rows, tables = given_
    for n, row in enumerate(rows if people else []):
        row["who"] = n * 7 % (people * 3)
    whose = "who" if people else None
    tables = [table(((n, rows[n]) for n in one.records[RECORD]), one.by, k, whose) for one in tables]
    if any(not one.records.height for one in tables):
        return
    more, before, after = audited(rows, tables, k)
    assert any(mask.any() for mask in more) == bool(before)
    assert not after


def test_three_tables_tell_what_no_two_of_them_do() -> None:
    """All but one of a record that the last table has beyond the first two."""
    cells = product((0, 1), repeat=3)
    times = (4, 3, 5, 1, 4, 1, 1, 2)
    rows = [dict(zip("abc", cell, strict=True)) for cell, n in zip(cells, times, strict=True) for _ in range(n)]
    most = [(n, row) for n, row in enumerate(rows) if (row["a"], row["b"], row["c"]) != (1, 1, 0)]
    other = [(n, row) for n, row in enumerate(rows) if (row["a"], row["b"], row["c"]) != (0, 0, 1)]
    tables = [table(most, ()), table(most, ("c",)), table(other, ("a", "b"))]
    told = withhold(tables)
    attack = Attack(rows, tables, told)
    assert all(sum(len(attack.rows[kind]) for kind in here) >= 3 for here in attack.told())


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_sets_of_up_to_four_unknowns_are_found(size: int) -> None:
    """Neighbours in a ring of eleven tell the records of each place, which tables of kinds tell apart."""
    rows = [{"place": place, "kind": kind} for place in range(11) for kind in range(size)]
    rows += [{"place": -1, "kind": -1}] * 9

    def of(chosen: list[int]) -> Grouped:
        return table(((n, rows[n]) for n in chosen), (), size + 1)

    ring = [of([n for n, row in enumerate(rows) if row["place"] in (one, (one + 1) % 11)]) for one in range(11)]
    kinds = [of([n for n, row in enumerate(rows) if row["kind"] in (kind, -1)]) for kind in range(size)]
    tables = [*ring, *kinds]
    groups = [groups_of(one) for one in tables]
    hidden = [np.zeros(1, dtype=np.bool_) for _ in tables]
    withhold_told(atoms_of(tables, groups), hidden)
    assert 1 <= sum(int(mask.sum()) for mask in hidden) <= 2
    assert not any(mask.any() for mask in hidden[11:])


def test_what_hangs_together_over_too_many_groups_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "ROWS", 2)
    rows = list(enumerate([{"a": n} for n in range(3)]))
    ring = [table([one for one in rows if one[0] != n], (), 2) for n in range(3)]
    groups = [groups_of(one) for one in ring]
    for most, more in ((2, 0), (3, 1)):
        monkeypatch.setattr(audit, "ROWS", most)
        hidden = [np.zeros(1, dtype=np.bool_) for _ in ring]
        withhold_told(atoms_of(ring, groups), hidden)
        assert sum(int(mask.sum()) for mask in hidden) == more
