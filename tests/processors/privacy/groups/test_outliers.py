"""Outliers of classes: few, worth it, and what remains keeps what was asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from processors.privacy.domains.dimension import Dimension
from processors.privacy.domains.scale import numbers
from processors.privacy.groups.mondrian import Classes, classes
from processors.privacy.groups.outliers import TWICE
from schemas.task.model import Column
from tests.processors.privacy.groups.test_mondrian import Table, check_boxes, keeps, members, tables

INT = Column(type="int64")


def loss_of(one: Dimension, codes: list[int]) -> float:
    """Of a cell of a class that has these codes; 0 is null."""
    known = [code for code in codes if code] or [0]
    return float(one.loss(np.array([min(known)]), np.array([max(known)]))[0])


def worthwhile(table: Table, part: list[int]) -> list[list[int]]:
    """What is left of a class without an end that spares the others more than twice what it loses."""
    found = []
    columns = [[int(column[i]) for i in part] for column in table.codes]
    losses = [loss_of(one, column) for one, column in zip(table.dimensions, columns, strict=True)]
    for one, column, loss in zip(table.dimensions, columns, losses, strict=True):
        known = [code for code in column if code]
        for end in {min(known), max(known)} if known else ():
            left = [i for i, code in zip(part, column, strict=True) if code != end]
            if len(left) < table.k or not any(code not in (0, end) for code in column):
                continue
            narrower = loss - loss_of(one, [code for code in column if code != end])
            spared, cost = len(left) * narrower / len(losses), (len(part) - len(left)) * (1 - sum(losses) / len(losses))
            if spared > TWICE * cost + 1e-9:
                found.append(left)
    return found


@given(tables(), st.sampled_from([0.05, 0.2, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_what_remains_is_narrower_and_keeps_what_was_asked(table: Table, share: float) -> None:
    table = replace(table, sensitive=[replace(one, closeness=()) for one in table.sensitive])
    before = table.grouped()
    assume(isinstance(before, Classes))
    after = table.grouped(outliers=share)
    assert isinstance(before, Classes)
    assert isinstance(after, Classes)
    assert after.suppressed <= share * len(table.rows) + 1e-9
    assert after.ncp(table.dimensions) <= before.ncp(table.dimensions) + 1e-9
    check_boxes(table, after)
    parts, kept = members(after), keeps(table)
    assert all(any(part <= whole for whole in members(before)) for part in parts)
    assert all(kept(sorted(part)) for part in parts)
    if share == 1.0 and table.subject is None and not table.sensitive:
        assert not any(worthwhile(table, sorted(part)) for part in parts), "one more would have been worth it"


@given(tables(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_does_not_matter(table: Table, random: object) -> None:
    order = list(range(len(table.rows)))
    random.shuffle(order)  # type: ignore[attr-defined]  # what the strategy gives
    turned = replace(
        table,
        codes=[column[order] for column in table.codes],
        subject=None if table.subject is None else table.subject[order],
        sensitive=[replace(one, codes=one.codes[order]) for one in table.sensitive],
    )
    one, other = table.grouped(outliers=0.3), turned.grouped(outliers=0.3)
    assert isinstance(one, Classes) == isinstance(other, Classes)
    if isinstance(one, Classes) and isinstance(other, Classes):
        assert members(one) == {frozenset(order[i] for i in part) for part in members(other)}


def test_one_far_off_is_left_out_where_it_may_be() -> None:
    ages = np.array([20, 21, 22, 23, 24, 25, 99], dtype=np.uint32) + 2  # below come null and what is too small
    axis = numbers(INT, 1, 0, 99)
    whole = classes([axis], [ages], 4, outliers=0.1)
    assert isinstance(whole, Classes)
    assert whole.suppressed == 0, "a seventh is more than a tenth"
    assert whole.names([axis])[0].to_list() == ["20..99"]
    cut = classes([axis], [ages], 4, outliers=0.2)
    assert isinstance(cut, Classes)
    assert (cut.suppressed, cut.names([axis])[0].to_list()) == (1, ["20..25"])
    assert cut.ncp([axis]) < whole.ncp([axis])
