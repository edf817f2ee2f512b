"""Classes beside a population: those of Mondrian where it tells nothing besides; covers are those of names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from processors.privacy.domains.scale import Scale
from processors.privacy.domains.taxonomy import Flat, Taxonomy
from processors.privacy.groups.covers import cover
from processors.privacy.groups.mondrian import Classes
from processors.privacy.groups.populated import Population, Rows, classes_among
from processors.privacy.groups.shortfall import Infeasible
from tests.processors.privacy.groups.test_mondrian import TREE, Table, check_boxes, members, tables


@given(tables())
@settings(max_examples=100, deadline=None)
def test_a_population_of_the_table_itself_changes_nothing(table: Table) -> None:
    assume(all(isinstance(one, Scale) for one in table.dimensions))
    table = replace(table, subject=None)
    plain = table.grouped()
    rows = Rows(table.codes, None, table.sensitive)
    among = classes_among(table.dimensions, rows, table.k, Population(table.codes, (0.0, 1.0)))
    if isinstance(plain, Infeasible):
        assert among == plain
        return
    assert isinstance(among, Classes)
    assert members(among) == members(plain)
    check_boxes(table, among)
    assert among.presence == (1.0, 1.0)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_covered_is_all_that_has_the_name(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([3, 32, 33, 40]))
    axis = data.draw(st.sampled_from([Taxonomy.of(TREE, "string"), Flat("string", [f"v{n:02}" for n in range(size)])]))
    leaves = len(axis.leaves)
    beyond = leaves + isinstance(axis, Taxonomy)
    low = data.draw(st.integers(1, beyond))
    high = data.draw(st.integers(low, beyond))
    first, last = (int(one[0]) for one in cover(axis).covered(np.array([low]), np.array([high])))
    (name,) = axis.names(np.array([low]), np.array([high]), np.array([False]))
    if name == "*":
        assert (first, min(last, beyond)) == (1, beyond)
    elif isinstance(axis, Flat):
        assert [axis.leaves[code - 1] for code in range(first, last + 1)] == name.split("|")
    else:
        assert [row[0] for row in TREE if name in row] == axis.leaves[first - 1 : last]
