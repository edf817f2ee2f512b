"""Records of three sources and words on them, as segments; and what their closes leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import polars as pl

import processors.anonymize
import processors.rules
from processors.anonymize.identity import identities
from processors.anonymize.protocol import Anonymization
from processors.merge.close import Change, close
from processors.merge.corrections import CONTENT, SAID, affirmation, content_of, withdrawal
from processors.merge.resolve import IDENT
from processors.plan import TablePlan, compile_task
from processors.rules.protocol import Rule
from processors.segments.format import Segment, build, from_bytes
from processors.worker.intake import add_counts
from schemas.columns import CHANGED, HASH, OP, POSITION, SOURCE, WEIGHT
from schemas.discovery import discover
from schemas.placement import hash_of
from schemas.task.model import Task

KEY = bytes(range(32))
SEED = 11
OWN = {SOURCE: pl.UInt16, POSITION: pl.Int64, OP: pl.Int8, CHANGED: pl.UInt64, WEIGHT: pl.Int64}
SCHEMA = {"id": pl.Int64, "name": pl.String, "n": pl.Int64, **OWN}
STRATEGIES: dict[str, Any] = {"drop_all": "drop_all", "keep_all": "keep_all", "prefer": {"prefer": ["b", "c", "a"]}}


@cache
def plan_of(strategy: str, telling: bool) -> TablePlan:
    """Three sources, of which a and b tell changes or none does; a record whose name is no number falls."""
    source = {"connector": "csv", "path": "x.csv"}
    table: dict[str, Any] = {
        "columns": {"id": {"type": "int64"}, "name": {"type": "string"}, "n": {"type": "int64"}},
        "sources": {"a": {**source, "changes": telling}, "b": {**source, "changes": telling}, "c": source},
        "transform": [{"derive": {"code": "cast(name as int64)"}}],
        "primary_key": {"column": "id", "conflicts": STRATEGIES[strategy]},
    }
    task = Task.model_validate({"task": "t", "tables": {"t": table}})
    found = compile_task(task, discover(processors.rules, Rule), discover(processors.anonymize, Anonymization))
    return found.tables["t"]


def generate(content: pl.Series) -> pl.Series:
    return identities(content, "t.key", KEY).reinterpret(signed=False)


class Row(NamedTuple):
    id: int
    name: str | None
    n: int | None
    source: int
    position: int
    op: int = 0

    @property
    def content(self) -> tuple[Any, ...]:
        return self[:3]


class Word(NamedTuple):
    number: int
    withdraws: bool
    about: Row


def frame_of(rows: list[Row], plan: TablePlan) -> pl.DataFrame:
    frame = pl.DataFrame([(*row, 0, 1) for row in rows], schema=SCHEMA, orient="row").with_columns(hash_of(["id"], KEY))
    return frame if plan.change_columns else frame.drop(POSITION, OP)


def segment(rows: list[Row], words: list[Word], plan: TablePlan) -> Segment:
    frame = frame_of(rows, plan)
    about = frame_of([word.about for word in words], plan)
    said = about.select(
        HASH,
        SOURCE,
        *plan.change_columns,
        content_of(about, plan.columns, SEED, generate).alias(CHANGED),
        pl.Series(WEIGHT, [(withdrawal if w.withdraws else affirmation)(w.number) for w in words], dtype=pl.Int64),
    )
    whole = pl.concat([frame, pl.concat([frame.clear(), said], how="diagonal")])
    return from_bytes(build(whole.sort(HASH), KEY, 4), KEY)


def closed(new: list[Segment], old: list[Segment], plan: TablePlan) -> list[Change]:
    return list(close(new, old, plan, SEED, generate))


@dataclass
class Outcome:
    standing: dict[int, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    rejected: list[pl.DataFrame] = field(default_factory=list)

    def play(self, told: list[Change]) -> None:
        for change in told:
            for ident in change.gone.get_column(IDENT):
                del self.standing[ident]
            self.standing |= {row[IDENT]: row for row in change.upserts.to_dicts()}
            add_counts(self.counts, change.counts)
            if change.rejected.height:
                self.rejected.append(change.rejected)

    def letters(self) -> dict[tuple[int, int], dict[str, Any]]:
        return {(row[CONTENT], row[SAID]): row for frame in self.rejected for row in frame.to_dicts()}

    def numbers(self) -> dict[str, Any]:
        dropped = {rule: n for rule, n in self.counts.get("dropped", {}).items() if n}
        return {**{name: n for name, n in self.counts.items() if n}, "dropped": dropped}

    def balanced(self, read: int) -> None:
        fell = self.counts.get("rejected", 0) + sum(self.counts.get("dropped", {}).values())
        assert self.counts.get("prepared", 0) == len(self.standing)
        assert (
            min([0, *self.numbers()["dropped"].values(), *(self.counts.get(n, 0) for n in ("merged", "rejected"))]) == 0
        )
        assert read == len(self.standing) + self.counts.get("merged", 0) + fell


def at_once(segments: list[Segment], plan: TablePlan) -> Outcome:
    whole = Outcome()
    if segments:
        whole.play(closed(segments, [], plan))
    return whole
