"""Groups of a table that never ends, window by window: each record is published once, and no group changes again.

What a method forms of a whole table it forms here of each window (`processors/privacy/releases/windows.py`). Every
epoch counts as a version that somebody has seen, so a group appears at once, and after that leaves as a whole or loses
k subjects or more at a time; where diversity is asked for it leaves as a whole alone, since those who leave together
might share a value. A record never joins a group that was published: k subjects that fit in would have a group of
their own.

Always holds: what a step gives follows from the state before it, the rows and the epoch's number. Knows no topic,
segment or clock; how the state becomes durable is the worker's business.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl
from pydantic import Field

from processors.anonymize.protocol import Batch, Treatment, Windows
from processors.anonymize.randomness import Draw
from processors.merge.resolve import IDENT
from processors.privacy.releases.windows import CLASS, Formed, Release, Rules, State, advance, flush
from processors.references.related import Difference
from schemas.columns import HASH, IDENTITY, POSITION
from schemas.errors import Fatal
from schemas.task.model import Strict

RECORDS = 20_000  # of a window: with what it carries over it is published in one batch
_CLASSES = 24  # bits: more groups than an epoch forms
_AT_ONCE = 8  # windows
_SLACK = 1e-9


class Window(Strict):
    """When a window closes: with so many new records, or so long after its first."""

    records: int = Field(default=1000, ge=1, le=RECORDS, description="How many new records close a window.")
    delay: float = Field(
        default=30.0,
        gt=0,
        le=86_400,
        description="How many seconds a window stays open at most. What is in no group waits for two more windows.",
    )


@dataclass(frozen=True)
class Step:
    """What stands after an epoch, and what the epoch changes.

    `published` has `_h`, `_pos`, the number of the group and the columns as they may be published; `withdrawn` has
    `_ident` and the number of the group.
    """

    state: State
    published: pl.DataFrame
    withdrawn: pl.DataFrame


def epochs_of(treatment: Treatment, epoch: float) -> int:
    """After how many epochs of so many seconds a window closes, so that no record waits for it longer than asked."""
    return max(0, math.floor(_windows(treatment).delay / epoch) - 1)


def state_of(rows: pl.DataFrame, treatment: Treatment) -> State:
    """Of a table that has no rows yet; `rows` tells what they look like."""
    return State.of(_given(rows, treatment))


def step(
    state: State, treatment: Treatment, rows: pl.DataFrame, change: Difference, at: At, key: bytes, table: str
) -> Step:
    """`rows` are all that the table has, `change` tells what is new of them and which are gone."""
    windows = _windows(treatment)
    rules = _rules(windows, treatment, at, key, table)
    # Enforces: every epoch is taken for seen, so a group changes by k subjects at once; no number is used again
    state = replace(state, versions=at.close, classes=at.close << _CLASSES)
    new = _given(rows.join(change.appeared.select(HASH), on=HASH, how="semi").sort(HASH), treatment)
    gone = change.gone[IDENT].reinterpret(signed=True).alias(IDENTITY)
    releases = []
    for rows_now, gone_now, rules_now in _portions(state, rules, new, gone, at):
        state, release = advance(state, rules_now, rows_now, gone_now, at.epoch)
        releases.append(release)
    if at.last:
        state, release = flush(state, rules)
        releases.append(release)
    _within_limit(state, windows, rows.height, at.last)
    return Step(
        replace(state, regions=state.regions.select(CLASS)),
        pl.concat(_published(one, state, treatment) for one in releases).sort(CLASS, HASH),
        pl.concat(one.withdrawn.select(_identity(IDENT), CLASS) for one in releases).sort(CLASS, IDENT),
    )


def _portions(
    state: State, rules: Rules, new: pl.DataFrame, gone: pl.Series, at: At
) -> Iterator[tuple[pl.DataFrame, pl.Series, Rules]]:
    """An epoch in parts that come to the same, since each close costs all that waits: what is known, then the rest.

    Only the last part may end with a window that time has closed; the end of a run closes it by itself.
    """
    known = pl.concat([state.pending[IDENTITY], state.members[IDENTITY], state.spent]).implode()
    fresh = new.filter(~pl.col(IDENTITY).is_in(known))
    parts = [new.filter(pl.col(IDENTITY).is_in(known)), *fresh.iter_slices(_AT_ONCE * rules.size)]
    open_ended = replace(rules, delay=2**63)
    for number, part in enumerate(parts):
        last = number == len(parts) - 1 and not at.last
        yield part, gone if number == 0 else gone.clear(), rules if last else open_ended


@dataclass(frozen=True)
class At:
    """Which close this is; `epochs` is the delay of a window, `last` says that nothing is to come."""

    close: int
    epoch: int
    epochs: int
    last: bool


def suppressed(state: State, rows: int) -> int:
    """How many records of a table with so many rows are neither published nor waiting."""
    return rows - state.members.height - state.pending.height


def _windows(treatment: Treatment) -> Windows:
    if treatment.windows is None:
        raise ValueError("the method forms its groups of the whole table")
    return treatment.windows


def _rules(windows: Windows, treatment: Treatment, at: At, key: bytes, table: str) -> Rules:
    def form(rows: pl.DataFrame) -> Formed:
        return _formed(rows, treatment, key, table)

    def place(rows: pl.DataFrame, _: pl.DataFrame) -> pl.Series:
        return pl.repeat(None, rows.height, dtype=pl.Int64, eager=True)

    def fallen(left: pl.DataFrame) -> pl.Series:
        return left[CLASS].unique()

    asks = fallen if windows.diverse else None
    return Rules(windows.k, windows.records, at.epochs, form, place, windows.subject, asks)


def _formed(rows: pl.DataFrame, treatment: Treatment, key: bytes, table: str) -> Formed:
    """A group for each text that the method gives; `regions` tells the texts."""
    names = list(treatment.outputs)
    if not rows.height or treatment.form is None:
        texts = pl.DataFrame(schema={CLASS: pl.Int64} | dict.fromkeys(names, pl.String))
        return Formed(pl.repeat(None, rows.height, dtype=pl.Int64, eager=True), texts)
    batch = Batch(rows.select(treatment.looks), Draw(key, table, rows[IDENTITY]), True)
    found = treatment.form(batch)
    texts = found.columns.select(names).with_columns(found.kept.alias(CLASS))
    regions = texts.filter(CLASS).drop(CLASS).unique(maintain_order=True)
    regions = regions.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(CLASS))
    numbered = texts.rename({CLASS: "_kept"}).join(
        regions, on=names, how="left", nulls_equal=True, maintain_order="left"
    )
    numbers = numbered.select(pl.when(pl.col("_kept")).then(pl.col(CLASS)).alias(CLASS))[CLASS]
    return Formed(numbers, regions.select(CLASS, *names))


def _given(rows: pl.DataFrame, treatment: Treatment) -> pl.DataFrame:
    """What windows look at; `_pos` is among it, since it tells another state of the same record."""
    identity = pl.col(HASH).reinterpret(signed=True).alias(IDENTITY)
    return rows.select(identity, POSITION, *(name for name in treatment.looks if name not in (HASH, POSITION)))


def _identity(name: str) -> pl.Expr:
    return pl.col(IDENTITY).reinterpret(signed=False).alias(name)


def _published(release: Release, state: State, treatment: Treatment) -> pl.DataFrame:
    rows = release.published.select(_identity(HASH), POSITION, CLASS)
    if not rows.height:
        return rows.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in treatment.outputs)
    texts = state.regions.select(CLASS, *treatment.outputs)
    return rows.join(texts, on=CLASS, how="left", maintain_order="left")


def _within_limit(state: State, windows: Windows, rows: int, last: bool) -> None:
    """Enforces: of the records that no longer wait, no more than the limit are left out.

    Of fewer records than a window has a share tells nothing, so it is looked at from then on, and at the end.
    """
    settled, left_out = rows - state.pending.height, suppressed(state, rows)
    if settled < windows.records and not last:
        return
    if left_out > windows.limit * settled + _SLACK:
        needed = math.ceil(1000 * left_out / settled) / 1000
        raise Fatal(
            f"{left_out} of {settled} records are in no group of {windows.k} that may be published; suppression_limit "
            f"is {windows.limit:g}: allow {needed:g}, ask for a smaller k, or for windows of more records"
        )
