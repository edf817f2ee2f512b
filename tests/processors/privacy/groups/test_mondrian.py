"""Mondrian against a plain recursive one, and what always holds of its classes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import plain_mondrian as plain
from benchmarks.census import census, hierarchies
from processors.privacy.domains import points
from processors.privacy.domains.dimension import Dimension, Grain, dimension, encode, survey
from processors.privacy.domains.points import SUPPRESSED
from processors.privacy.domains.scale import numbers
from processors.privacy.domains.taxonomy import Taxonomy
from processors.privacy.groups import boxes
from processors.privacy.groups.guard import Sensitive
from processors.privacy.groups.mondrian import Classes, classes
from processors.privacy.groups.shortfall import Infeasible
from processors.privacy.guarantees.requested import Closeness, Diversity
from schemas.task.model import Column

INT, TEXT = Column(type="int64"), Column(type="string")
TREE = [["a", "A", "*"], ["b", "A", "*"], ["c", "B", "*"], ["d", "B", "*"], ["e", "B", "*"]]
QI = ("age", "workclass", "education", "marital-status", "occupation", "race", "sex", "native-country")


@dataclass
class Table:
    dimensions: list[Dimension]
    codes: list[np.ndarray[Any, Any]]
    k: int
    subject: np.ndarray[Any, Any] | None
    sensitive: list[Sensitive]

    @property
    def rows(self) -> list[tuple[int, ...]]:
        return list(zip(*(column.tolist() for column in self.codes), strict=True))

    def grouped(self, **more: Any) -> Classes | Infeasible:
        return classes(self.dimensions, self.codes, self.k, subject=self.subject, sensitive=self.sensitive, **more)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    rows = draw(st.integers(1, 60))

    def column(below: int) -> np.ndarray[Any, Any]:
        return np.array(draw(st.lists(st.integers(0, below - 1), min_size=rows, max_size=rows)))

    domains: list[Dimension] = []
    codes = []
    for _ in range(draw(st.integers(1, 4))):
        # far apart, codes need several words, and too many bins to be counted one by one
        apart = draw(st.sampled_from([1, 1, 1, 1 << 20]))
        size = draw(st.integers(2, 7))
        domains.append(
            Taxonomy.of(TREE, "string") if apart == 1 and size == 7 else numbers(INT, 1, 1, (size - 1) * apart)
        )
        codes.append((column(size) * apart).astype(np.uint32))
    sensitive = [
        Sensitive("s", column(size).astype(np.int32), size, *draw(demands()))
        for size in draw(st.lists(st.integers(1, 4), max_size=2))
    ]
    subject = column(draw(st.sampled_from([3, 20, 1000]))) if draw(st.booleans()) else None
    return Table(domains, codes, draw(st.integers(1, 5)), subject, sensitive)


@st.composite
def demands(draw: st.DrawFn) -> tuple[tuple[Diversity, ...], tuple[Closeness, ...]]:
    diversity = st.sampled_from(
        [Diversity("s", 2), Diversity("s", 1.5, "entropy"), Diversity("s", 2, "recursive", 3.0)]
    )
    closeness = st.builds(
        Closeness, st.just("s"), st.sampled_from([0.1, 0.3, 0.5]), st.sampled_from(["equal", "ordered"])
    )
    return tuple(draw(st.lists(diversity, max_size=1))), tuple(draw(st.lists(closeness, max_size=1)))


def keeps(table: Table) -> Callable[[list[int]], bool]:
    """The guarantees, each from its definition."""

    def kept(part: list[int]) -> bool:
        size = len(part) if table.subject is None else len({int(table.subject[i]) for i in part})
        return size >= table.k and all(
            all(diverse([int(one.codes[i]) for i in part], asked) for asked in one.diversity)
            and all(near([int(one.codes[i]) for i in part], one, asked) for asked in one.closeness)
            for one in table.sensitive
        )

    return kept


def diverse(values: list[int], asked: Diversity) -> bool:
    counts = sorted(Counter(values).values(), reverse=True)
    if asked.kind == "distinct":
        return len(counts) >= asked.l
    if asked.kind == "entropy":
        shares = [count / len(values) for count in counts]
        return math.exp(-sum(share * math.log(share) for share in shares)) >= asked.l - 1e-8
    return counts[0] < (asked.c or 0) * sum(counts[int(asked.l) - 1 :])


def near(values: list[int], one: Sensitive, asked: Closeness) -> bool:
    p, q = (np.bincount(codes, minlength=one.size) / len(codes) for codes in (values, one.codes.tolist()))
    if asked.distance == "equal":
        return bool(abs(p - q).sum() / 2 <= asked.t + 1e-8)
    return one.size < 2 or bool(abs(np.cumsum(p - q)).sum() / (one.size - 1) <= asked.t + 1e-8)


def coded(one: Dimension, values: pl.Series) -> np.ndarray[Any, Any]:
    codes = encode({"v": one}, values.alias("v").to_frame())[0]
    assert np.array_equal(codes, one.encode(values))
    return codes


def one(number: int) -> np.ndarray[Any, Any]:
    return np.array([number])


def by_the_oracle(table: Table) -> set[frozenset[int]]:
    found = plain.groups(
        table.rows,
        lambda d, low, high: float(table.dimensions[d].width(one(low), one(high))[0]),
        plain.nearest(table.k, lambda d, low, high: int(table.dimensions[d].depth(one(low), one(high))[0])),
        keeps(table),
    )
    return {frozenset(part) for part in found}


def members(found: Classes) -> set[frozenset[int]]:
    numbers = found.of_row.tolist()
    return {frozenset(i for i, number in enumerate(numbers) if number == each) for each in set(numbers) - {SUPPRESSED}}


def check_boxes(table: Table, found: Classes) -> None:
    assert np.array_equal(found.rows, np.bincount(found.of_row[found.of_row != SUPPRESSED], minlength=len(found.rows)))
    for d, column in enumerate(table.codes):
        for number, part in enumerate(found.rows):
            own = column[found.of_row == number]
            values = own[own != 0]
            assert len(own) == part
            assert found.nulls[d, number] == (len(values) < len(own))
            bounds = (values.min(), values.max()) if len(values) else (0, 0)
            assert (found.low[d, number], found.high[d, number]) == bounds


@given(tables())
@settings(max_examples=120, deadline=None)
def test_classes_are_those_of_plain_mondrian(table: Table) -> None:
    found = table.grouped()
    if isinstance(found, Infeasible):
        assert not keeps(table)(list(range(len(table.rows))))
        return
    assert members(found) == by_the_oracle(table)
    assert all(keeps(table)(list(part)) for part in members(found))
    assert found.suppressed == 0
    check_boxes(table, found)


@given(tables(), st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_a_table_cut_in_pieces_first_has_the_same_classes(table: Table, at_once: int) -> None:
    whole = table.grouped()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "AT_ONCE", at_once)
        patch.setattr(points, "CHUNK", 7)
        pieces = table.grouped()
    if isinstance(whole, Classes):
        assert isinstance(pieces, Classes)
        assert members(pieces) == members(whole)
        check_boxes(table, pieces)


@given(tables(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_does_not_matter(table: Table, random: Any) -> None:
    found = table.grouped()
    order = list(range(len(table.rows)))
    random.shuffle(order)
    turned = Table(
        table.dimensions,
        [column[order] for column in table.codes],
        table.k,
        None if table.subject is None else table.subject[order],
        [Sensitive(s.name, s.codes[order], s.size, s.diversity, s.closeness) for s in table.sensitive],
    ).grouped()
    if isinstance(found, Infeasible):
        assert turned == found
    else:
        assert isinstance(turned, Classes)
        assert np.array_equal(turned.of_row, found.of_row[order])


@given(tables(), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_suppression_stays_in_its_limit_or_fails(table: Table, limit: float) -> None:
    found = table.grouped(suppression_limit=limit)
    if isinstance(found, Infeasible):
        assert found.needed is None or found.needed > limit
        return
    assert found.suppressed <= limit * len(found.of_row)
    left = found.of_row != SUPPRESSED
    kept = [Sensitive(s.name, s.codes[left], s.size, s.diversity, s.closeness) for s in table.sensitive]
    subject = None if table.subject is None else table.subject[left]
    rest = Table(table.dimensions, [column[left] for column in table.codes], table.k, subject, kept)
    numbers = found.of_row[left]
    assert all(keeps(rest)(np.flatnonzero(numbers == number).tolist()) for number in set(numbers.tolist()))


def people(
    rows: int, hierarchical: bool
) -> tuple[list[Dimension], list[np.ndarray[Any, Any]], dict[str, Sequence[Any]]]:
    data, trees = census(rows), hierarchies()
    domains, codes = [], []
    for name in QI:
        values, column = pl.Series(data[name]), INT if name == "age" else TEXT
        grain = Grain(step=1) if name == "age" else Grain(rows=trees[name]) if hierarchical else Grain()
        domains.append(dimension(column, grain, survey(values, column.type)))
        codes.append(coded(domains[-1], values))
    return domains, codes, data


def test_loses_less_than_the_plain_one_on_a_census() -> None:
    domains, codes, _ = people(8_000, hierarchical=False)
    found = classes(domains, codes, 10)
    assert isinstance(found, Classes)
    rows = list(zip(*(column.tolist() for column in codes), strict=True))
    spans = [domain.size - 3 for domain in domains[1:]]
    extents = [domains[0].size - 4, *spans]
    parts = plain.groups(rows, lambda d, a, b: (b - a) / extents[d], plain.at_median, lambda part: len(part) >= 10)
    assert len(found.rows) >= len(parts)
    assert int((found.rows**2).sum()) <= sum(len(part) ** 2 for part in parts)
    plain_ncp = 0.0
    for part in parts:
        bounds = [(np.array([min(c[part])]), np.array([max(c[part])])) for c in codes]
        plain_ncp += len(part) * sum(float(d.loss(*b)[0]) for d, b in zip(domains, bounds, strict=True)) / len(domains)
    assert found.ncp(domains) <= plain_ncp / len(rows)


def test_publishes_texts_that_cover_the_values() -> None:
    domains, codes, data = people(3_000, hierarchical=True)
    found = classes(domains, codes, 5)
    assert isinstance(found, Classes)
    published = dict(zip(QI, found.published(domains), strict=True))
    assert pl.DataFrame(published).group_by(QI).len()["len"].min() >= 5  # type: ignore[operator]
    trees = {name: {row[0]: set(row) for row in rows} for name, rows in hierarchies().items()}
    for name in QI[1:]:
        assert all(text in trees[name][value] for text, value in zip(published[name], data[name], strict=True))
    for text, age in zip(published["age"], data["age"], strict=True):
        low, _, high = text.partition("..")
        assert int(low) <= age <= int(high or low)


def test_nulls_are_a_value_and_stand_for_themselves() -> None:
    domain = numbers(INT, 1, 0, 99)
    values = pl.Series([None] * 4 + [90, 91, 92, 93] + [None, 7], dtype=pl.Int64)
    codes = coded(domain, values)
    alone = classes([domain], [codes], 4)
    assert isinstance(alone, Classes)
    assert set(alone.published([domain])[0]) == {None, "7..93"}
    mixed = classes([domain], [codes], 6)
    assert isinstance(mixed, Classes)
    assert set(mixed.published([domain])[0]) == {"null|7..93"}


def test_says_what_a_table_lacks() -> None:
    domain = numbers(INT, 1, 0, 9)
    codes = coded(domain, pl.Series([1, 2, 3, 4]))
    sensitive = np.array([0, 0, 0, 1], dtype=np.int32)

    def lack(k: int = 1, *asked: Diversity, **more: Any) -> str:
        found = classes([domain], [codes], k, sensitive=[Sensitive("s", sensitive, 2, asked)], **more)
        assert isinstance(found, Infeasible)
        return str(found)

    assert lack(5) == "k = 5 is more than the 4 rows there are; give k of at most 4"
    assert "the 2 subjects there are; give k of at most 2" in lack(3, subject=np.array([7, 7, 9, 9]))
    assert lack(1, Diversity("s", 3)) == "l = 3 is more than the 2 values of s; give l of at most 2"
    assert "give l of at most 1.754" in lack(1, Diversity("s", 2, "entropy"))
    assert "let 50.00% of the rows be suppressed" in lack(1, Diversity("s", 2, "entropy"))
    assert "give l of at most 1 or c above 3" in lack(1, Diversity("s", 2, "recursive", 2.0))
    assert "let 25.00% of the rows be suppressed" in lack(1, Diversity("s", 2, "recursive", 2.5))
    assert lack(4, Diversity("s", 2, "entropy"), suppression_limit=1.0).count("suppressed") == 0


def test_suppresses_no_more_than_is_needed() -> None:
    domain = numbers(INT, 1, 0, 9)
    codes = coded(domain, pl.Series([1, 2, 3, 4, 5, 6, 7, 8]))
    sensitive = [Sensitive("s", np.array([0] * 6 + [1] * 2, dtype=np.int32), 2, (Diversity("s", 2, "recursive", 2.5),))]
    found = classes([domain], [codes], 1, sensitive=sensitive, suppression_limit=0.25)
    assert isinstance(found, Classes)
    assert found.suppressed == 2
    assert found.published([domain])[0].null_count() == 2
    assert isinstance(classes([domain], [codes], 1, sensitive=sensitive, suppression_limit=0.2), Infeasible)


def test_no_rows_are_no_classes() -> None:
    domain = numbers(INT, 1, 0, 9)
    found = classes([domain], [coded(domain, pl.Series([], dtype=pl.Int64))], 5)
    assert isinstance(found, Classes)
    assert (len(found.rows), len(found.of_row), found.ncp([domain])) == (0, 0, 0.0)
    assert found.published([domain])[0].to_list() == []


def test_refuses_what_is_no_question() -> None:
    domain = numbers(INT, 1, 0, 9)
    for domains, k in (([domain], 0), ([], 1)):
        with pytest.raises(ValueError, match="k is at least 1"):
            classes(domains, [np.array([1])], k)
    with pytest.raises(ValueError, match="below its size"):
        classes([domain], [np.array([1, 13])], 1)
    with pytest.raises(ValueError, match="a code in every dimension"):
        classes([domain, domain], [np.array([1, 2]), np.array([1])], 1)
