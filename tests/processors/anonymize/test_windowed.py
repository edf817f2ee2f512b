"""Groups formed in windows: what is declared, when a window closes, and how much may be left out."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import polars as pl
import pytest

from processors.anonymize import windowed
from processors.anonymize.protocol import Treatment
from processors.anonymize.runner import CompiledMethods
from processors.anonymize.windowed import At, Step, epochs_of, state_of, step, suppressed
from processors.privacy.releases.windows import CLASS, State
from processors.references.related import difference
from schemas.columns import HASH, POSITION
from schemas.errors import Fatal

Compiled = Callable[..., CompiledMethods]
WrongFor = Callable[..., list[str]]

KEY = bytes(range(32))
COLUMNS = {"age": {"type": "int64"}, "ill": {"type": "string"}}
METHOD: dict[str, Any] = {
    "method": "generalize",
    "quasi_identifiers": ["age"],
    "k": 2,
    "grain": {"age": {"step": 10, "min": 0, "max": 100}},
    "suppression_limit": 0.5,
    "window": {"records": 4, "delay": 10},
}


PRESENCE = {"delta": [0, 0.5], "population": {"table": "all"}}


@pytest.fixture
def grouped(compiled: Compiled) -> Callable[..., Treatment]:
    def made(**options: Any) -> Treatment:
        group = compiled(COLUMNS, METHOD | options).group
        assert group is not None
        return group

    return made


def table(ages: dict[int, int], close: int = 0) -> pl.DataFrame:
    rows = [(identity, close, age, "flu") for identity, age in ages.items()]
    schema = {HASH: pl.UInt64, POSITION: pl.Int64, "age": pl.Int64, "ill": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").sort(HASH)


def after(group: Treatment, state: State, was: pl.DataFrame, now: pl.DataFrame, close: int, last: bool = False) -> Step:
    return step(state, group, now, difference(was, now), At(close, close, 99, last), KEY, "t")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"window": {"records": 0}}, "window.records"),
        ({"window": {"records": 20_001}}, "window.records"),
        ({"window": {"delay": 0}}, "window.delay"),
        ({"window": {"size": 3}}, "window.size"),
        ({"t": [{"column": "ill", "t": 0.2}]}, "t is measured against all records"),
        ({"search": "full_domain", "presence": PRESENCE}, "presence or window out: it is measured against all records"),
        ({"suppression_limit": None}, "suppression_limit"),
        ({"columns": {"age": {"step": 5}}, "quasi_identifiers": None, "k": None}, "asks for groups of single columns"),
    ],
)
def test_what_does_not_fit_is_told(wrong: WrongFor, options: dict[str, Any], told: str) -> None:
    method = {name: value for name, value in (METHOD | options).items() if value is not None}
    assert any(told in one for one in wrong(COLUMNS, method))


def test_a_window_closes_before_anything_has_waited_too_long(grouped: Callable[..., Treatment]) -> None:
    group = grouped()
    assert [epochs_of(group, epoch) for epoch in (0.5, 2.0, 3.0, 10.0, 60.0)] == [19, 4, 2, 0, 0]


def test_groups_appear_once_and_a_change_is_left_out(grouped: Callable[..., Treatment]) -> None:
    group, none = grouped(), table({})
    first = table({1: 11, 2: 15, 3: 41, 4: 48, 5: 90})
    one = after(group, state_of(none, group), none, first, 0)
    texts = dict(one.published.select(HASH, "age").rows())
    assert texts == {1: "10..19", 2: "10..19", 3: "40..49", 4: "40..49"}
    assert one.published[CLASS].n_unique() == 2
    assert suppressed(one.state, first.height) == 0
    assert one.state.pending.height == 1
    second = pl.concat([first.filter(pl.col(HASH) != 1), table({1: 12}, close=1)]).sort(HASH)
    two = after(group, one.state, first, second, 1)
    assert sorted(two.withdrawn["_ident"]) == [1, 2]  # a group that lost one of two leaves as a whole
    assert not two.published.height
    assert suppressed(two.state, second.height) == 2
    with pytest.raises(Fatal, match=r"3 of 5 records are in no group of 2.*limit is 0\.5: allow 0\.6"):
        after(group, two.state, second, second, 2, last=True)
    three = after(grouped(suppression_limit=0.6), two.state, second, second, 2, last=True)
    assert not three.state.pending.height


def test_a_share_of_less_than_a_window_halts_nothing_before_the_end(grouped: Callable[..., Treatment]) -> None:
    group, none, few = grouped(), table({}), table({1: 10})
    state = state_of(none, group)
    waits = step(state, group, few, difference(none, few), At(0, 0, 0, False), KEY, "t")
    for close in (1, 2, 3):
        waits = step(waits.state, group, few, difference(few, few), At(close, close, 0, False), KEY, "t")
    assert suppressed(waits.state, 1) == 1
    with pytest.raises(Fatal, match="1 of 1 records"):
        after(group, waits.state, few, few, 4, last=True)


@pytest.mark.parametrize("diverse", [False, True])
def test_where_values_are_to_differ_a_group_leaves_as_a_whole(grouped: Callable[..., Treatment], diverse: bool) -> None:
    group, none = grouped(l=[{"column": "ill", "l": 1}] if diverse else []), table({})
    first = table(dict.fromkeys(range(4), 11))
    one = after(group, state_of(none, group), none, first, 0)
    assert one.published.height == 4
    two = after(group, one.state, first, first.head(2), 1)
    assert two.withdrawn.height == (4 if diverse else 2)


def test_the_search_through_levels_forms_windows_too(grouped: Callable[..., Treatment]) -> None:
    group, none = grouped(search="full_domain"), table({})
    first = table({1: 11, 2: 15, 3: 41, 4: 48})
    one = after(group, state_of(none, group), none, first, 0)
    counts = one.published.group_by("age").len()["len"]
    assert one.published.height == 4
    assert counts.min() == 2


@pytest.mark.parametrize("last", [False, True])
def test_an_epoch_in_parts_comes_to_the_same(
    grouped: Callable[..., Treatment], monkeypatch: pytest.MonkeyPatch, last: bool
) -> None:
    group, none, draw = grouped(suppression_limit=1.0), table({}), Random(5)
    first = table({n: draw.randrange(100) for n in range(0, 60, 2)})
    changed = table({n: draw.randrange(100) for n in range(0, 120, 3)}, close=1)
    second = pl.concat([first.filter(pl.col(HASH) % 3 != 0, pl.col(HASH) > 5), changed]).sort(HASH)
    found = []
    for at_once in (1, 1000):
        monkeypatch.setattr(windowed, "_AT_ONCE", at_once)
        one = step(state_of(none, group), group, first, difference(none, first), At(0, 7, 3, False), KEY, "t")
        two = step(one.state, group, second, difference(first, second), At(1, 11, 3, last), KEY, "t")
        found.append([one.published.rows(), two.published.rows(), two.withdrawn.rows(), two.state.pending.rows()])
        assert one.published.height > 20
        assert two.published.height > 20
        assert two.withdrawn.height > 5
    assert found[0] == found[1]
