from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.randomness import Draw
from processors.privacy.groups import anatomy
from processors.privacy.groups.beforehand import Leaves, Needs, Probe
from processors.privacy.groups.guard import Sensitive
from processors.privacy.groups.mondrian import Classes, classes
from processors.privacy.guarantees.requested import Diversity
from schemas.columns import LINE

COLUMNS = {"who": pl.String, "ill": pl.String, "age": pl.Int64}


def table(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=COLUMNS, orient="row").with_columns(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(LINE)
    )


def probed(needs: Needs, *pieces: pl.DataFrame, exact: bool = True, **more: bool) -> list[str]:
    probe = Probe(needs, **more)
    for piece in pieces:
        probe.add(piece, "file")
    return [str(one) for one in probe.lacking(exact)]


records = st.lists(
    st.tuples(
        st.sampled_from([*"abcde", None]), st.sampled_from(["flu", "flu", "flu", "cold", None]), st.integers(0, 3)
    ),
    min_size=1,
    max_size=20,
)
demands = st.builds(
    Needs,
    k=st.integers(2, 6),
    subject=st.sampled_from([None, "who"]),
    diversity=st.lists(
        st.one_of(
            st.builds(Diversity, st.just("ill"), st.sampled_from([1.0, 2.0, 3.0, 4.0])),
            st.builds(Diversity, st.just("ill"), st.sampled_from([1.5, 2.0, 2.5, 3.0]), st.just("entropy")),
            st.builds(
                Diversity,
                st.just("ill"),
                st.sampled_from([1.0, 2.0, 3.0]),
                st.just("recursive"),
                st.sampled_from([0.5, 1.0, 3.0]),
            ),
        ),
        max_size=2,
    ).map(tuple),
    limit=st.sampled_from([0.0, 0.3]),
)


def grouped(frame: pl.DataFrame, needs: Needs) -> bool:
    """Whether the engine finds groups."""
    codes = frame["ill"].rank("dense").fill_null(0).cast(pl.Int32).to_numpy()
    sensitive = [Sensitive("ill", codes, int(codes.max(initial=0)) + 1, needs.diversity)] if needs.diversity else []
    subject = None
    if needs.subject:
        subject = frame["who"].rank("dense").fill_null(0).cast(pl.UInt32).to_numpy()
    ages = frame["age"].cast(pl.UInt8).to_numpy()
    axis = _Line(5)
    found = classes([axis], [ages], needs.k, subject=subject, sensitive=sensitive, suppression_limit=needs.limit)
    return isinstance(found, Classes)


class _Line:
    """A quasi-identifier of so many codes."""

    tree = False

    def __init__(self, size: int) -> None:
        self.size = size

    def width(self, low: Any, high: Any) -> Any:
        return (high - low) / self.size

    def depth(self, below: Any, above: Any) -> Any:
        return np.zeros(len(below), dtype=np.int64)


@given(records, demands, st.integers(0, 20))
@settings(max_examples=150, deadline=None)
def test_what_lacks_can_t_be_grouped_and_without_a_limit_the_other_way_round(
    rows: list[tuple[Any, ...]], needs: Needs, cut: int
) -> None:
    frame = table(rows)
    lacking = probed(needs, frame[:cut], frame[cut:])
    feasible = grouped(frame, needs)
    if lacking:
        assert not feasible
    elif not needs.limit:
        assert feasible


@given(records, demands, st.sets(st.integers(0, 19)))
@settings(max_examples=150, deadline=None)
def test_what_can_be_grouped_once_records_are_left_out_is_never_refused(
    rows: list[tuple[Any, ...]], needs: Needs, left_out: set[int]
) -> None:
    frame = table(rows)
    rest = frame.filter(~pl.int_range(pl.len()).is_in(sorted(left_out)))
    if rest.height and grouped(rest, needs):
        assert probed(needs, frame, exact=False) == []
        assert probed(needs, frame, exact=False, frequencies=False) == []


@given(records, demands, st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_once_it_is_settled_no_further_record_matters(rows: list[tuple[Any, ...]], needs: Needs, step: int) -> None:
    frame = table(rows)
    for frequencies in (True, False):
        probe = Probe(needs, frequencies)
        for start in range(0, frame.height, step):
            probe.add(frame[start : start + step], "file")
            if probe.settled:
                assert probed(needs, frame, exact=frequencies) == []


@given(records, st.integers(2, 4), st.sampled_from([None, "who"]))
@settings(max_examples=150, deadline=None)
def test_anatomy_is_refused_where_it_can_t_be_had(rows: list[tuple[Any, ...]], l: int, subject: str | None) -> None:  # noqa: E741
    frame = table(rows).with_row_index("row")
    needs = Needs(subject=subject, apart=("ill", l))
    draw = Draw(bytes(32), "t", pl.int_range(frame.height, eager=True))
    found = anatomy.anatomize(frame, ["row"], "ill", l, draw, subject)
    assert bool(probed(needs, frame)) == isinstance(found, anatomy.Infeasible)
    if not isinstance(found, anatomy.Infeasible):
        more = pl.concat([frame, frame[:1]] * 2)  # frequencies that may still shift
        assert probed(needs, more, exact=False, frequencies=False) == []


def test_each_lack_says_where_what_and_the_nearest_that_can_be_had() -> None:
    rows = table([("a", "flu", 1), ("a", "flu", 2), ("b", "flu", 3), ("b", "cold", 4)])
    assert probed(Needs(k=5), rows) == ["k: is 5, more than the 4 records there are; give k of at most 4"]
    assert probed(Needs(k=3, subject="who"), rows) == [
        "k: is 3, more than the 2 subjects there are; give k of at most 2"
    ]
    alone = rows.filter(pl.col("who") == "a")
    assert probed(Needs(k=2, subject="who"), alone)[0].endswith("there is no group of several: leave k out")
    two = Needs(diversity=(Diversity("ill", 2), Diversity("ill", 3)))
    assert probed(two, rows) == ["l.1.l: is 3, more than the 2 values of ill; give l of at most 2"]
    entropy = Needs(diversity=(Diversity("ill", 1.9, "entropy"),))
    assert probed(entropy, rows) == [
        "l.0.l: entropy l = 1.9 is above what the frequencies of ill allow; give l of at most 1.754"
    ]
    assert probed(entropy, rows, exact=False) == []
    assert probed(Needs(diversity=entropy.diversity, limit=0.25), rows) == [
        "l.0.l: entropy l = 1.9 is above what the frequencies of ill allow; "
        "give l of at most 1.754, or let 50.00% of the records be suppressed"
    ]
    assert probed(Needs(diversity=entropy.diversity, limit=0.5), rows) == []
    recursive = Needs(diversity=(Diversity("ill", 2, "recursive", 2.0),))
    assert probed(recursive, rows)[0].endswith("give l of at most 1 or c above 3")
    assert probed(Needs(apart=("ill", 2)), rows) == [
        "l: groups of 2 different values can't be formed: 3 of 4 records have the same ill; no diversity can be met"
    ]
    assert probed(Needs(apart=("ill", 3)), rows)[0].startswith("l: is 3, more than the 2 values of ill")
    assert probed(Needs(subject="who", apart=("age", 3)), rows)[0].startswith("l: is 3, more than the 2 subjects of")
    assert probed(Needs(k=5), rows, by_rows=True) == probed(Needs(k=5), rows)
    assert probed(Needs(k=4, subject="who", apart=("ill", 4)), rows, by_rows=True, frequencies=False) == []
    assert probed(Needs(k=9), rows[:0]) == []


def test_a_hierarchy_s_holes_are_counted_and_placed_and_never_shown() -> None:
    ages = Leaves("int64", pl.Series(["1", "2"]))
    ills = Leaves("string", pl.Series(["flu"]))
    rows = table([("a", "cold", 1), ("a", None, 2), ("b", "rare", 3), ("b", "cold", 4), ("c", "cold", None)])
    needs = Needs(leaves={"age": ages, "ill": ills})
    assert probed(needs, rows[:3], rows[3:]) == [
        "grain.age: lacks 2 values of age that 2 records of the data have (first: file:3, file:4); "
        "give each of them a row, or leave such records out by a rule",
        "grain.ill: lacks 2 values of ill that 4 records of the data have (first: file:1, file:3, file:4); "
        "give each of them a row, or leave such records out by a rule",
    ]
    assert probed(needs, rows, exact=False) == []  # who lacks a row may still be left out
    probe = Probe(needs)
    probe.add(rows[1:2], "file")
    assert list(probe.lacking(exact=True)) == []
    assert not probe.settled
