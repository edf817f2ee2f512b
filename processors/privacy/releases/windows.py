"""Continuous releases: rows wait in a window, leave it in classes, and are never published a second time.

A window closes when so many new rows wait, or so many epochs after its first row. Classes are formed inside it by
a function that is handed in; a class of fewer than k subjects is none. What is left over waits for the next window,
for two windows at most; then it joins a published region that contains it, or is suppressed. So a row is
published or suppressed at most three delays after it came.

What was decided here, and why:
- A record is published once. A change of a published record withdraws it and its new content is suppressed, and so
  is a deleted record that comes again: both contents, one after the other, would tell whose they are. The same
  content again changes nothing.
- A class that would be left with fewer than k subjects by deletions is withdrawn as a whole. To coarsen it would
  publish its other records a second time.
- `shown` marks what a published version holds. From then on a class may only change by k subjects or more at once,
  or vanish, or else it is withdrawn: rows that join it come k subjects at a time, and a smaller loss takes the class
  along. So for each class what two versions have in common and where they differ holds nobody or k subjects.

Always holds, after every call: those who came into a class between the same two versions (its cohort) are k distinct
subjects at least, and with that every class is, and every union of classes. Pure: state in, state and release out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from schemas.columns import IDENTITY

CLASS: Final = "_class"  # Int64: number of a published class, never used again
WHY: Final = "_why"
CARRIES: Final = 2  # windows that a row may wait for after its first
DELETED, CHANGED, FELL = "deleted", "changed", "its class fell below k"
AGAIN, ALONE = "published before", "in no class of k"
_ARRIVAL, _CARRIED = "_arrival", "_carried"
_SUBJECT, _CONTENT, _COHORT = "_subject", "_content", "_cohort"
_NUMBER, _LOST = "_number", "_lost"
_COHORTS = [CLASS, _COHORT]
_MEMBERS = {IDENTITY: pl.Int64, CLASS: pl.Int64, _COHORT: pl.Int64, _SUBJECT: pl.UInt64, _CONTENT: pl.UInt64}


@dataclass(frozen=True)
class Formed:
    """`numbers` has the class of each row, null for a row that has none; `regions` a row for each number.

    A region has its number as `_class`, and whatever `place` needs to tell which rows lie in it.
    """

    numbers: pl.Series
    regions: pl.DataFrame


@dataclass(frozen=True)
class Rules:
    """`place` gives for each row a class among the open regions, or null. Guarantees besides k are the callers' own:

    `form` forms no class and `place` fills no region that breaks them; `fallen` gets what is left of classes that
    lost records (identity and class) and says which of them no longer hold.
    """

    k: int
    size: int  # new rows that close a window
    delay: int  # epochs after which a window closes
    form: Callable[[pl.DataFrame], Formed]
    place: Callable[[pl.DataFrame, pl.DataFrame], pl.Series]
    subject: str | None = None  # whose distinct values are counted; without one each record is a subject
    fallen: Callable[[pl.DataFrame], pl.Series] | None = None


@dataclass(frozen=True)
class State:
    """What a run has to remember between epochs: rows that wait, and of published records no value."""

    pending: pl.DataFrame  # oldest first
    members: pl.DataFrame  # published and not withdrawn
    spent: pl.Series  # identities that were published and withdrawn
    regions: pl.DataFrame
    opened: int | None = None  # the epoch in which the window began
    versions: int = 0
    classes: int = 0

    @classmethod
    def of(cls, rows: pl.DataFrame) -> State:
        """The state of a run that has seen nothing yet, whose rows will look like these."""
        waiting = rows.clear().with_columns(
            pl.lit(0, dtype=pl.Int64).alias(_ARRIVAL), pl.lit(0, dtype=pl.Int64).alias(_CARRIED)
        )
        regions = pl.DataFrame(schema={CLASS: pl.Int64})
        return cls(waiting, pl.DataFrame(schema=_MEMBERS), pl.Series(IDENTITY, [], dtype=pl.Int64), regions)


@dataclass(frozen=True)
class Release:
    """What changes at once: rows with their class, identities that are no longer published, and rows that never are."""

    published: pl.DataFrame  # the rows as they came, and `_class`
    withdrawn: pl.DataFrame  # `_id`, `_class`, `_why`
    suppressed: pl.DataFrame  # `_id`, `_why`


def advance(state: State, rules: Rules, rows: pl.DataFrame, gone: pl.Series, epoch: int) -> tuple[State, Release]:
    """One epoch: rows that came or changed, identities of records that were deleted."""
    identities = rows[IDENTITY]
    if identities.n_unique() != rows.height or identities.is_in(gone.implode()).any():
        raise ValueError("an epoch says of a record one thing: what it is, or that it is gone")
    state, withdrawn, again = _taken_back(state, rules, rows, gone)
    published = identities.is_in(state.spent.implode()) | identities.is_in(state.members[IDENTITY].implode())
    state = _waiting(state, rows.filter(~published), gone, epoch)
    releases = [Release(rows.clear().with_columns(pl.lit(0, dtype=pl.Int64).alias(CLASS)), withdrawn, again)]
    while (state.pending[_CARRIED] == 0).sum() >= rules.size:
        new = (pl.col(_CARRIED) == 0).cum_sum()
        state, release = _close(state, rules, new <= rules.size, epoch, last=False)
        releases.append(release)
    if state.opened is not None and epoch - state.opened >= rules.delay:
        state, release = _close(state, rules, pl.lit(True), epoch, last=False)
        releases.append(release)
    return state, _together(releases)


def flush(state: State, rules: Rules) -> tuple[State, Release]:
    """The end of the run: a last window, after which nothing waits."""
    return _close(state, rules, pl.lit(True), state.opened or 0, last=True)


def shown(state: State) -> State:
    """A version has been published that holds what is published now."""
    return replace(state, versions=state.versions + 1)


def withdraw(state: State, classes: pl.Series, why: str = FELL) -> tuple[State, pl.DataFrame]:
    """Takes whole classes back for good, as when a version that holds them would be refused."""
    falls = pl.col(CLASS).is_in(classes.implode())
    left = state.members.filter(falls)
    return (
        replace(
            state,
            members=state.members.filter(~falls),
            spent=pl.concat([state.spent, left[IDENTITY]]),
            regions=state.regions.filter(~falls),
        ),
        left.select(IDENTITY, CLASS, pl.lit(why).alias(WHY)),
    )


def _taken_back(
    state: State, rules: Rules, rows: pl.DataFrame, gone: pl.Series
) -> tuple[State, pl.DataFrame, pl.DataFrame]:
    """Withdraws what was deleted or changed, and the classes that fall with it; and says which rows come again."""
    told = rows.select(IDENTITY, _content(rows).alias("told"))
    touched = state.members.filter(pl.col(IDENTITY).is_in(pl.concat([gone, rows[IDENTITY]]).implode()))
    lost = touched.join(told, on=IDENTITY, how="left").filter(pl.col("told").ne_missing(pl.col(_CONTENT)))
    whys = pl.when(pl.col("told").is_null()).then(pl.lit(DELETED)).otherwise(pl.lit(CHANGED))
    withdrawn = lost.select(IDENTITY, CLASS, whys.alias(WHY))
    again = rows[IDENTITY].filter(rows[IDENTITY].is_in(pl.concat([lost[IDENTITY], state.spent]).implode()))
    suppressed = pl.DataFrame({IDENTITY: again}).with_columns(pl.lit(AGAIN).alias(WHY))
    if not lost.height:
        return state, withdrawn, suppressed
    hit = state.members.filter(pl.col(CLASS).is_in(lost[CLASS].unique().implode()))
    hit = hit.with_columns(pl.col(IDENTITY).is_in(lost[IDENTITY].implode()).alias(_LOST))
    falls = _falling(hit, rules, state.versions)
    own = pl.col(IDENTITY).is_in(lost[IDENTITY].implode())
    state = replace(state, members=state.members.filter(~own), spent=pl.concat([state.spent, lost[IDENTITY]]))
    empty = hit.group_by(CLASS).agg(pl.col(_LOST).all()).filter(_LOST)[CLASS]
    state, fallen = withdraw(state, pl.concat([falls, empty]))
    return state, pl.concat([withdrawn, fallen]), suppressed


def _falling(hit: pl.DataFrame, rules: Rules, versions: int) -> pl.Series:
    """The classes that can't go on without their lost records."""
    subjects = pl.col(_SUBJECT)
    cohorts = hit.group_by(_COHORTS).agg(
        left=subjects.filter(~pl.col(_LOST)).n_unique(), lost=subjects.filter(_LOST).n_unique()
    )
    small = pl.col("left").is_between(1, rules.k - 1)  # Enforces: k distinct subjects, deletions or not
    noticed = pl.col("lost").is_between(1, rules.k - 1) & (pl.col(_COHORT) < versions)
    falls = cohorts.filter(small | noticed)[CLASS].unique()
    if rules.fallen is None:
        return falls
    standing = hit.filter(~pl.col(_LOST) & ~pl.col(CLASS).is_in(falls.implode()))
    return pl.concat([falls, rules.fallen(standing.select(IDENTITY, CLASS)).cast(pl.Int64)])


def _waiting(state: State, rows: pl.DataFrame, gone: pl.Series, epoch: int) -> State:
    """The rows that wait: a changed one keeps its turn."""
    pending = state.pending.filter(~pl.col(IDENTITY).is_in(gone.implode()))
    known = rows[IDENTITY].is_in(pending[IDENTITY].implode())
    turns = [_ARRIVAL, _CARRIED]
    changed = pending.select(IDENTITY, *turns).join(rows.filter(known), on=IDENTITY, maintain_order="left")
    kept = pending.with_columns(pl.col(IDENTITY).is_in(changed[IDENTITY].implode()).alias(_LOST))
    if changed.height:
        order = pending.select(IDENTITY)
        both = pl.concat([kept.filter(~pl.col(_LOST)).drop(_LOST), changed.select(pending.columns)])
        pending = order.join(both, on=IDENTITY, how="left", maintain_order="left").select(pending.columns)
    new = rows.filter(~known).with_columns(
        pl.lit(epoch, dtype=pl.Int64).alias(_ARRIVAL), pl.lit(0, dtype=pl.Int64).alias(_CARRIED)
    )
    pending = pl.concat([pending, new.select(pending.columns)])
    opened = state.opened if state.opened is not None else epoch
    return replace(state, pending=pending, opened=opened if pending.height else None)


def _close(state: State, rules: Rules, taken: pl.Expr, epoch: int, last: bool) -> tuple[State, Release]:
    """Forms classes of the rows taken; the others wait on."""
    marked = state.pending.with_columns(taken.alias(_LOST))
    window, rest = (marked.filter(mark).drop(_LOST) for mark in (pl.col(_LOST), ~pl.col(_LOST)))
    rows = window.drop(_ARRIVAL, _CARRIED)
    numbers, regions = _classes(rows, rules, state.classes)
    left = window.filter(numbers.is_null()).with_columns(pl.col(_CARRIED) + 1)
    state = replace(
        state,
        regions=pl.concat([state.regions, regions], how="diagonal"),
        classes=state.classes + regions.height,
    )
    state, published = _published(state, rules, rows, numbers)
    settled = pl.lit(True) if last else pl.col(_CARRIED) > CARRIES
    late = left.filter(settled).drop(_ARRIVAL, _CARRIED)
    state, joined = _published(state, rules, late, _places(state, rules, late))
    alone = late.filter(~pl.col(IDENTITY).is_in(joined[IDENTITY].implode()))
    pending = pl.concat([left.filter(~settled), rest])
    state = replace(state, pending=pending, opened=epoch if pending.height else None)
    suppressed = alone.select(IDENTITY, pl.lit(ALONE).alias(WHY))
    nothing = pl.DataFrame(schema={IDENTITY: pl.Int64, CLASS: pl.Int64, WHY: pl.String})
    return state, Release(pl.concat([published, joined]), nothing, suppressed)


def _classes(rows: pl.DataFrame, rules: Rules, classes: int) -> tuple[pl.Series, pl.DataFrame]:
    """Numbers no class had before, of the classes that have k subjects; and their regions."""
    formed = rules.form(rows)
    frame = pl.DataFrame({_NUMBER: formed.numbers.cast(pl.Int64), _SUBJECT: _subjects(rows, rules.subject)})
    counts = frame.drop_nulls(_NUMBER).group_by(_NUMBER).agg(pl.col(_SUBJECT).n_unique())
    held = counts.filter(pl.col(_SUBJECT) >= rules.k).select(_NUMBER).sort(_NUMBER)  # Enforces: k distinct subjects
    held = held.with_columns((pl.int_range(pl.len(), dtype=pl.Int64) + classes).alias(CLASS))
    numbers = frame.select(_NUMBER).join(held, on=_NUMBER, how="left", maintain_order="left")[CLASS]
    regions = held.join(
        formed.regions.with_columns(pl.col(CLASS).cast(pl.Int64)).rename({CLASS: _NUMBER}), on=_NUMBER, how="left"
    )
    if regions.height != held.height:
        raise ValueError("a class has one region")
    return numbers, regions.drop(_NUMBER).sort(CLASS)


def _places(state: State, rules: Rules, late: pl.DataFrame) -> pl.Series:
    """The published regions that leftovers join, where that leaves no cohort of fewer than k subjects."""
    if not late.height or not state.regions.height:
        return pl.Series(CLASS, [None] * late.height, dtype=pl.Int64)
    found = rules.place(late, state.regions).cast(pl.Int64)
    if not found.drop_nulls().is_in(state.regions[CLASS].implode()).all():
        raise ValueError("a row is placed in a region that is not open")
    new = pl.DataFrame({CLASS: found, _SUBJECT: _subjects(late, rules.subject)})
    now = state.members.filter(pl.col(_COHORT) == state.versions).select(CLASS, _SUBJECT)
    own = pl.concat([new.drop_nulls(CLASS), now.filter(pl.col(CLASS).is_in(found.drop_nulls().unique().implode()))])
    counts = own.group_by(CLASS).agg(pl.col(_SUBJECT).n_unique())
    enough = counts.filter(pl.col(_SUBJECT) >= rules.k)[CLASS]  # Enforces: nobody joins a version's class alone
    return new.select(pl.when(pl.col(CLASS).is_in(enough.implode())).then(pl.col(CLASS)))[CLASS]


def _published(state: State, rules: Rules, rows: pl.DataFrame, numbers: pl.Series) -> tuple[State, pl.DataFrame]:
    published = rows.with_columns(numbers.alias(CLASS)).drop_nulls(CLASS)
    content = published.drop(CLASS)
    members = published.select(
        IDENTITY,
        CLASS,
        pl.lit(state.versions, dtype=pl.Int64).alias(_COHORT),
        _subjects(content, rules.subject).alias(_SUBJECT),
        _content(content).alias(_CONTENT),
    )
    return replace(state, members=pl.concat([state.members, members])), published


def _subjects(rows: pl.DataFrame, subject: str | None) -> pl.Series:
    """What subjects are told apart by; two that fall together count as one, which is the safe side."""
    return rows[subject or IDENTITY].hash(seed=1)


def _content(rows: pl.DataFrame) -> pl.Series:
    return rows.select(sorted(rows.columns)).hash_rows(seed=2)


def _together(releases: list[Release]) -> Release:
    return Release(
        pl.concat([release.published for release in releases]),
        pl.concat([release.withdrawn for release in releases]),
        pl.concat([release.suppressed for release in releases]),
    )
