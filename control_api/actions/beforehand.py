"""Looks at the data of a task before a run of it: can its tables have the groups that they ask for?

Always holds: what is told as a mistake would halt the run at its end, or is a hierarchy that lacks values; what can't
be known is left to the run. Reading stops where no further record matters, and at the limits. Of what is looked at
nothing is kept, sent or logged, and no value is shown, only where it stands. A source that can't be looked at holds
nothing up: it is noted.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl
from pydantic import ValidationError

from connectors.sources.open_sources import open_source
from control_api.actions.run_tables import compiled
from processors.plan import OutputPlan, TablePlan, TaskPlan
from processors.privacy.groups.beforehand import Needs, Probe
from processors.wrong_config import Wrong
from schemas.columns import HASH, LINE, OP
from schemas.errors import Fatal, MetalError, Mistake
from schemas.placement import hash_of
from schemas.sealing import new_key
from schemas.task.components import Components
from schemas.task.model import Changes, Task
from schemas.task.text import dotted, parse

TRIAL: Final = 50_000  # records of a table at most whose groups are formed for trial
_NUL: Final = "\x00"


@dataclass(frozen=True)
class Limits:
    """Of what is read of a table: so many records, for so long; and whether other systems may be asked for them."""

    records: int
    seconds: float
    others: bool


START: Final = Limits(1_000_000, 3.0, others=False)
ASKED: Final = Limits(20_000_000, 600.0, others=True)


@dataclass
class Found:
    """`mistakes` are below a table's method; notes stop nothing."""

    mistakes: list[tuple[str, int, Wrong]] = field(default_factory=list)  # table, its method's place, what is wrong
    notes: list[str] = field(default_factory=list)

    def told(self, text: str, file: str) -> list[Mistake]:
        """The mistakes with their lines in the text of the task."""
        document = parse(text)
        places = [
            (("tables", table, "anonymize", method, *one.path), one.wrong, one.right)
            for table, method, one in self.mistakes
        ]
        return [Mistake(file, document.line(place), dotted(place), wrong, right) for place, wrong, right in places]


def look(task: Task, base: Path, secrets: Mapping[str, str], components: Components, limits: Limits) -> Found:
    """`task` has the files embedded that its methods name, as a released one has."""
    found = Found()
    if task.mode != "snapshot" or not any(table.anonymize for table in task.tables.values()):
        return found
    plan = compiled(task)
    for name, output in plan.outputs().items():
        root = _root(plan, name)
        if output.methods.group is None or root is None:
            continue
        reading = _Reading(task, plan, root, base, secrets, components, limits)
        try:
            _judge(found, output, reading)
        except (MetalError, OSError, ValidationError) as error:
            reason = (
                "its options are wrong" if isinstance(error, ValidationError) else str(error) or type(error).__name__
            )
            found.notes.append(f"table {name}: its data was not looked at before the run: {reason}")
    return found


def _root(plan: TaskPlan, name: str) -> str | None:
    """The collected table whose records the table's come from; None where noise is told of groups without any."""
    while name in plan.derived:
        if plan.derived[name].table.noise is not None:
            return None
        name = plan.derived[name].table.base
    return name


class _UnseenError(Fatal):
    """A source that is not looked at."""


@dataclass
class _Reading:
    """The records of one collected table as they go into its groups, but for merging and references."""

    task: Task
    plan: TaskPlan
    name: str
    base: Path
    secrets: Mapping[str, str]
    components: Components
    limits: Limits
    whole: bool = False  # nothing was left unread
    keys: list[pl.Series] = field(default_factory=list)

    @property
    def table(self) -> TablePlan:
        return self.plan.tables[self.name]

    @property
    def shifts(self) -> bool:
        """Whether other tables, or later changes, may take records away."""
        refers = any(link.table == self.name for link in self.plan.references)
        return refers or bool(self.table.merge.changes)

    @property
    def may_vanish(self) -> bool:
        """Whether the sources may tell that nothing is left."""
        told = [source.changes for source in self.task.tables[self.name].sources.values()]
        return any(isinstance(one, Changes) and one.delete is not None for one in told)

    @property
    def unique(self) -> bool:
        """Whether every record has a key of its own, so that merging changes nothing."""
        return not self.keys or not pl.concat(self.keys).is_duplicated().any()

    def pieces(self) -> Generator[tuple[str, pl.DataFrame], None, None]:
        """(where the lines are counted, records), until a limit is reached."""
        until, records = time.monotonic() + self.limits.seconds, 0
        key = new_key()  # of nothing else
        for label, frame in self._read():
            if records >= self.limits.records or time.monotonic() > until:
                return
            records += frame.height
            if self.table.merge.key:
                self.keys.append(frame.select(hash_of(self.table.merge.key, key)).get_column(HASH))
            transform = self.table.transform
            yield label, frame if transform is None else transform.apply(frame).kept
        self.whole = True

    def _read(self) -> Iterator[tuple[str, pl.DataFrame]]:
        kinds, table = self.components, self.task.tables[self.name]
        for name, source in table.sources.items():
            alone = source.connector not in kinds.connections
            if not alone and (not self.limits.others or (source.connector == "kafka" and source.connection is None)):
                hint = "" if self.limits.others else ": metal task lint --sources does, where it can"
                raise _UnseenError(f"a start looks at files alone, and the source {name} is a {source.connector}{hint}")
        for name in table.sources:
            opened = open_source(self.task, self.name, name, self.base, self.secrets, kinds.sources, {})
            with closing(opened):
                for split in opened.splits():
                    for chunk in opened.read(split, None):
                        yield f"{name}/{split.name}", self._clean(chunk.frame)

    def _clean(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What the rules stage lets through; deletions add no record."""
        if OP in frame.columns:
            frame = frame.filter(pl.col(OP) == 0)
        table = self.table
        sound = [~pl.col(name).str.contains(_NUL, literal=True).fill_null(False) for name in table.text_columns]
        kept = table.rules.apply(frame.filter(pl.all_horizontal(True, *sound))).kept
        return kept.filter(pl.all_horizontal(True, *(pl.col(name).is_not_null() for name in table.merge.key)))


def _judge(found: Found, output: OutputPlan, reading: _Reading) -> None:
    group, at = output.methods.group, output.methods.group_at
    if group is None:
        return
    own = reading.name == output.name
    needs = group.needs or Needs(complete=False)
    looks = output.methods.looks
    cleared = bool(output.methods.cleared)  # what is left out or emptied before shows in a trial alone
    probe = Probe(needs, frequencies=own and not reading.shifts, by_rows=cleared or not own)
    trial = own and not reading.shifts and (cleared or not needs.complete) and not output.methods.beside
    kept: list[pl.DataFrame] = []
    with closing(reading.pieces()) as pieces:
        for label, frame in pieces:
            probe.add(frame.select(*looks, LINE) if own else frame, label)
            if trial:
                kept.append(frame.select(looks))
            trial = trial and probe.rows <= TRIAL
            if probe.settled and not trial:
                return
    if not reading.whole:
        if own and not reading.shifts and not reading.table.merge.key:  # every record stays, whatever follows it
            found.mistakes += [(output.name, at, one) for one in probe.unknown()]
        return
    exact = own and not reading.shifts and reading.unique
    if own and not exact:
        found.notes += [f"table {output.name}: its hierarchy of {one.path[1]} {one.wrong}" for one in probe.unknown()]
    if reading.may_vanish or (not exact and _renamed(reading.table, looks)):
        return
    lacking = list(probe.lacking(exact))
    if not lacking and trial and exact and kept:
        lacking = list(_tried(output, pl.concat(kept)))
    found.mistakes += [(output.name, at, one) for one in lacking]


def _renamed(table: TablePlan, looks: Collection[str]) -> bool:
    """Whether records under one key get new keys that the groups may see: then there are more values than were read."""
    regenerated = table.merge.strategy == "keep_all" and bool(table.merge.key)
    return regenerated and (table.transform is not None or table.merge.regenerate in looks)


def _tried(output: OutputPlan, table: pl.DataFrame) -> Iterator[Wrong]:
    """Forms the groups: of the very records that the run will group, so it fails where the run would."""
    try:
        output.methods.form(table, pl.int_range(table.height, eager=True), new_key(), False)
    except Fatal as error:
        wrong, _, right = str(error).partition("; ")
        yield Wrong((), wrong, right or "ask for less")
