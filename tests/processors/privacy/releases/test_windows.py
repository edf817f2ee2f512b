"""Continuous releases against a plain machine of dictionaries, and against what has to hold at every moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.releases.windows import (
    AGAIN,
    ALONE,
    CHANGED,
    CLASS,
    DELETED,
    FELL,
    WHY,
    Formed,
    Release,
    Rules,
    State,
    advance,
    flush,
    shown,
    withdraw,
)
from schemas.columns import IDENTITY

K, SIZE, DELAY = 2, 5, 2
SCHEMA = {IDENTITY: pl.Int64, "zone": pl.Int64, "who": pl.Int64, "illness": pl.String}
NOWHERE = 3  # a zone in which no class is ever formed, and whose rows lie in the regions of zone 0
Row = tuple[int, int, int, str]


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def ids(*identities: int) -> pl.Series:
    return pl.Series(IDENTITY, identities, dtype=pl.Int64)


def form(rows: pl.DataFrame) -> Formed:
    zones = rows["zone"]
    regions = pl.DataFrame({CLASS: zones.unique().sort()}).with_columns(pl.col(CLASS).alias("zone"))
    return Formed(rows.select(pl.when(zones != NOWHERE).then(zones)).to_series(), regions)


def place(rows: pl.DataFrame, regions: pl.DataFrame) -> pl.Series:
    first = regions.group_by("zone").agg(pl.col(CLASS).min())
    return rows.select(zone=pl.col("zone") % NOWHERE).join(first, on="zone", how="left", maintain_order="left")[CLASS]


RULES = Rules(K, SIZE, DELAY, form, place, "who")


@dataclass
class Machine:
    """The same, record by record."""

    waiting: list[dict[str, Any]] = field(default_factory=list)
    members: dict[int, dict[str, Any]] = field(default_factory=dict)
    spent: set[int] = field(default_factory=set)
    zones: dict[int, int] = field(default_factory=dict)
    opened: int | None = None
    version: int = 0
    numbers: int = 0
    published: dict[int, int] = field(default_factory=dict)
    withdrawn: dict[int, str] = field(default_factory=dict)
    suppressed: dict[int, str] = field(default_factory=dict)

    def people(self, members: list[dict[str, Any]]) -> int:
        return len({member["row"][2] for member in members})

    def advance(self, rows: list[Row], gone: list[int], epoch: int) -> None:
        self.published, self.withdrawn, self.suppressed = {}, {}, {}
        lost = {i: DELETED for i in gone if i in self.members}
        lost |= {row[0]: CHANGED for row in rows if row[0] in self.members and self.members[row[0]]["row"] != row}
        self.suppressed = {row[0]: AGAIN for row in rows if row[0] in self.spent | lost.keys()}
        self.withdrawn = dict(lost)
        for number in {self.members[i]["class"] for i in lost}:
            self.lose(number, lost)
        for row in rows:
            if row[0] in self.members or row[0] in self.spent:
                continue
            old = [one for one in self.waiting if one["row"][0] == row[0]]
            for one in old:
                one["row"] = row
            if not old:
                self.waiting.append({"row": row, "carried": 0})
        self.waiting = [one for one in self.waiting if one["row"][0] not in gone]
        self.opened = None if not self.waiting else epoch if self.opened is None else self.opened
        while sum(one["carried"] == 0 for one in self.waiting) >= SIZE:
            new = [one for one in self.waiting if one["carried"] == 0]
            self.close([one for one in self.waiting if one["carried"] or one in new[:SIZE]], epoch, False)
        if self.opened is not None and epoch - self.opened >= DELAY:
            self.close(self.waiting, epoch, False)

    def lose(self, number: int, lost: dict[int, str]) -> None:
        own = [member for member in self.members.values() if member["class"] == number]
        falls = False
        for cohort in {member["cohort"] for member in own}:
            left = self.people([m for m in own if m["cohort"] == cohort and m["row"][0] not in lost])
            went = self.people([m for m in own if m["cohort"] == cohort and m["row"][0] in lost])
            falls |= 0 < left < K or (cohort < self.version and 0 < went < K)
        for member in own:
            if falls or member["row"][0] in lost:
                self.withdrawn.setdefault(member["row"][0], FELL)
                self.spent.add(member["row"][0])
                del self.members[member["row"][0]]
        if not any(member["class"] == number for member in self.members.values()):
            self.zones.pop(number)

    def close(self, window: list[dict[str, Any]], epoch: int, last: bool) -> None:
        rest = [one for one in self.waiting if one not in window]
        left, placed = [], {}
        for zone in sorted({one["row"][1] for one in window}):
            own = [one for one in window if one["row"][1] == zone]
            if zone != NOWHERE and self.people(own) >= K:
                self.zones[self.numbers] = zone
                for one in own:
                    self.publish(one, self.numbers)
                self.numbers += 1
        left = [one for one in window if one["row"][0] not in self.published]
        for one in left:
            one["carried"] += 1
        late = [one for one in left if last or one["carried"] > 2]
        for one in late:
            fits = [number for number, zone in self.zones.items() if zone == one["row"][1] % NOWHERE]
            if fits:
                placed.setdefault(min(fits), []).append(one)
        for number, ones in placed.items():
            now = [m for m in self.members.values() if m["class"] == number and m["cohort"] == self.version]
            if self.people([*now, *ones]) >= K:
                for one in ones:
                    self.publish(one, number)
        self.suppressed |= {one["row"][0]: ALONE for one in late if one["row"][0] not in self.published}
        self.waiting = [one for one in left if one not in late] + rest
        self.opened = epoch if self.waiting else None

    def publish(self, one: dict[str, Any], number: int) -> None:
        self.published[one["row"][0]] = number
        self.members[one["row"][0]] = {"row": one["row"], "class": number, "cohort": self.version}


rows_of_an_epoch = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(0, 12), st.sampled_from("xy")),
    max_size=9,
    unique_by=lambda row: row[0],
)
epochs = st.lists(st.tuples(rows_of_an_epoch, st.sets(st.integers(0, 30), max_size=3), st.booleans()), max_size=9)


@settings(max_examples=24)
@given(epochs)
def test_streams_go_as_the_plain_machine_has_it_and_nobody_is_singled_out(
    stream: list[tuple[list[Row], set[int], bool]],
) -> None:
    state, machine = State.of(frame([])), Machine()
    ever: set[int] = set()
    union: dict[int, tuple[int, int]] = {}
    versions: list[dict[int, tuple[int, int]]] = []
    came: dict[int, int] = {}
    for epoch, (rows, deleted, publish) in enumerate(stream):
        gone = sorted(deleted - {row[0] for row in rows})
        state, release = advance(state, RULES, frame(rows), ids(*gone), epoch)
        machine.advance(rows, gone, epoch)
        same(release, machine)
        apply(union, release, ever)
        for row in rows:
            came.setdefault(row[0], epoch)
        for settled in [*release.published[IDENTITY], *release.suppressed[IDENTITY], *gone]:
            came.pop(settled, None)
        came = {i: at for i, at in came.items() if i not in union}
        assert all(epoch - at <= 3 * DELAY for at in came.values())
        if publish:
            versions.append(dict(union))
            state = shown(state)
            machine.version += 1
    machine.published, machine.withdrawn, machine.suppressed = {}, {}, {}
    machine.close(machine.waiting, machine.opened or 0, True)
    state, release = flush(state, RULES)
    same(release, machine)
    apply(union, release, ever)
    assert not state.pending.height
    compared([*versions, union])


def same(release: Release, machine: Machine) -> None:
    assert dict(release.published.select(IDENTITY, CLASS).rows()) == machine.published
    assert dict(release.withdrawn.select(IDENTITY, WHY).rows()) == machine.withdrawn
    assert dict(release.suppressed.select(IDENTITY, WHY).rows()) == machine.suppressed
    assert release.suppressed[IDENTITY].is_unique().all()


def apply(union: dict[int, tuple[int, int]], release: Release, ever: set[int]) -> None:
    """What a reader sees; no record comes twice, and every class has k subjects."""
    for identity, number, _ in release.withdrawn.rows():
        assert union.pop(identity)[0] == number
    for identity, number, who in release.published.select(IDENTITY, CLASS, "who").rows():
        assert identity not in ever
        ever.add(identity)
        union[identity] = (number, who)
    people: dict[int, set[int]] = {}
    for number, who in union.values():
        people.setdefault(number, set()).add(who)
    assert all(len(each) >= K for each in people.values())


def compared(versions: list[dict[int, tuple[int, int]]]) -> None:
    """Any two versions: what a class of one has in common with a class of the other, or not, is nobody or k."""
    for i, one in enumerate(versions):
        for other in versions[i + 1 :]:
            joint: dict[tuple[Any, Any], set[int]] = {}
            for identity in one.keys() | other.keys():
                before, after = one.get(identity, (None, 0)), other.get(identity, (None, 0))
                joint.setdefault((before[0], after[0]), set()).add(before[1] or after[1])
            assert all(len(who) >= K for who in joint.values())


def test_a_window_closes_by_count_and_by_delay() -> None:
    state = State.of(frame([]))
    four = [(i, 0, i, "x") for i in range(4)]
    state, release = advance(state, RULES, frame(four), ids(), 0)
    assert not release.published.height
    state, release = advance(state, RULES, frame([(4, 0, 4, "x"), (5, 0, 5, "x")]), ids(), 1)
    assert release.published[IDENTITY].to_list() == [0, 1, 2, 3, 4]
    assert release.published.columns == [*SCHEMA, CLASS]
    assert state.pending[IDENTITY].to_list() == [5]
    for epoch in (2, 3):
        state, release = advance(state, RULES, frame([(4 + epoch, 0, 9, "x")]), ids(), epoch)
    assert release.published[IDENTITY].to_list() == [5, 6, 7]


def test_a_leftover_waits_for_two_windows_and_joins_a_region_that_holds_it() -> None:
    state = State.of(frame([]))
    for epoch in range(3):
        fresh = [(10 * epoch + i, 0, i, "x") for i in range(5)]
        alone = [(100, NOWHERE, 7, "x"), (101, 2, 8, "x")] if epoch == 0 else []
        state, release = advance(state, RULES, frame(alone + fresh), ids(), epoch)
        late = release.published.filter(pl.col(IDENTITY) >= 100)
        # the first window takes both among its five rows
        assert late.select(IDENTITY, CLASS).rows() == ([(100, 0)] if epoch == 2 else [])
    assert release.suppressed.rows() == [(101, ALONE)]


def test_nobody_joins_a_class_of_a_version_alone() -> None:
    state = State.of(frame([]))
    state, _ = advance(state, RULES, frame([(i, 0, i, "x") for i in range(5)]), ids(), 0)
    one = frame([(10, 0, 10, "x")])
    waiting, _ = advance(state, RULES, one, ids(), 1)
    _, joined = flush(waiting, RULES)
    assert joined.published[IDENTITY].to_list() == [10]
    waiting, _ = advance(shown(state), RULES, one, ids(), 1)
    _, refused = flush(waiting, RULES)
    assert refused.suppressed.rows() == [(10, ALONE)]


def test_deletions_withdraw_a_class_that_falls_below_k() -> None:
    state = State.of(frame([]))
    state, _ = advance(
        state, RULES, frame([(0, 0, 1, "x"), (1, 0, 1, "x"), *((i, 0, i, "x") for i in (2, 3, 4))]), ids(), 0
    )
    state, release = advance(state, RULES, frame([]), ids(2, 3), 1)
    assert sorted(release.withdrawn.rows()) == [(2, 0, DELETED), (3, 0, DELETED)]
    # two records are left besides the deleted one, of one subject
    state, release = advance(state, RULES, frame([]), ids(4), 2)
    assert sorted(release.withdrawn.rows()) == [(0, 0, FELL), (1, 0, FELL), (4, 0, DELETED)]
    state, release = advance(state, RULES, frame([(0, 0, 1, "x"), (4, 0, 4, "x")]), ids(), 3)
    assert sorted(release.suppressed.rows()) == [(0, AGAIN), (4, AGAIN)]
    assert not state.members.height
    assert not state.regions.height


def test_a_small_loss_of_what_a_version_shows_takes_the_class_along() -> None:
    state = State.of(frame([]))
    state, _ = advance(state, RULES, frame([(i, 0, i, "x") for i in range(6)]), ids(), 0)
    _, before = advance(state, RULES, frame([]), ids(0), 1)
    _, after = advance(shown(state), RULES, frame([]), ids(0), 1)
    _, enough = advance(shown(state), RULES, frame([]), ids(0, 1), 1)
    assert [release.withdrawn.height for release in (before, after, enough)] == [1, 5, 2]


def test_a_change_withdraws_and_the_same_again_does_nothing() -> None:
    state = State.of(frame([]))
    rows = [(i, 0, i, "x") for i in range(5)]
    state, _ = advance(state, RULES, frame(rows), ids(), 0)
    state, release = advance(state, RULES, frame(rows), ids(), 1)
    assert [part.height for part in (release.published, release.withdrawn, release.suppressed)] == [0, 0, 0]
    state, release = advance(state, RULES, frame([(0, 0, 0, "y")]), ids(), 2)
    assert release.withdrawn.rows() == [(0, 0, CHANGED)]
    assert release.suppressed.rows() == [(0, AGAIN)]


def test_other_guarantees_and_refused_versions_withdraw_classes() -> None:
    rules = Rules(K, SIZE, DELAY, form, place, "who", fallen=lambda left: left[CLASS].unique())
    state, _ = advance(State.of(frame([])), rules, frame([(i, 0, i, "x") for i in range(5)]), ids(), 0)
    _, release = advance(state, rules, frame([]), ids(0), 1)
    assert sorted(release.withdrawn[WHY]) == [DELETED, *[FELL] * 4]
    state, withdrawn = withdraw(state, pl.Series([0]), "refused")
    assert withdrawn.height == 5
    assert state.spent.to_list() == list(range(5))


def test_wrong_use_is_refused() -> None:
    state = State.of(frame([]))
    with pytest.raises(ValueError, match="one thing"):
        advance(state, RULES, frame([(1, 0, 1, "x")]), ids(1), 0)
    with pytest.raises(ValueError, match="one thing"):
        advance(state, RULES, frame([(1, 0, 1, "x"), (1, 0, 2, "x")]), ids(), 0)
    astray = Rules(K, SIZE, DELAY, form, lambda rows, _: pl.Series([9] * rows.height), "who")
    state, _ = advance(state, RULES, frame([(i, 0, i, "x") for i in range(6)]), ids(), 0)
    with pytest.raises(ValueError, match="not open"):
        flush(state, astray)
