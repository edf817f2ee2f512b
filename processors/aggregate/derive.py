"""A derived table: the surviving rows of one table, joined with those they refer to, transformed and aggregated.

A function of the surviving rows, whatever their order. A joined frame names its columns `table.column`. Every row of
the base is counted once: it is among what comes out, merged into a group, dropped by a join, a filter or for being in a
group that is withheld, or rejected. What is derived from groups sees those that may be published, and no other.
Where the aggregate is told with noise, nothing else of it comes out, and `ask` is who answers for the draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from processors.aggregate.families import handling_of
from processors.aggregate.group import aggregate, computable
from processors.aggregate.noise_plan import NoisePlan, noise_of
from processors.aggregate.noisy import Ask, nobody_asks
from processors.aggregate.noisy import tell as tell_noisy
from processors.aggregate.small_groups import RULE as SMALL_GROUP
from processors.aggregate.small_groups import Told, tell
from processors.merge.resolve import IDENT
from processors.outcome import Outcome
from processors.transform.aggregates import AggregatePlan
from processors.transform.outputs import output_columns, projection, table_plan
from processors.transform.steps import RecordTransform
from schemas.columns import HASH
from schemas.errors import Fatal
from schemas.placement import seed
from schemas.task.model import Kind, Task


@dataclass(frozen=True)
class DerivedTable:
    name: str
    base: str
    joins: tuple[tuple[str, str, str], ...]  # (joined table, column of the base, key of the joined table)
    needed: dict[str, tuple[str, ...]]  # table -> columns; no other is held in memory
    transform: RecordTransform
    grouped: AggregatePlan | None
    family: str | None  # tables of one family tell of the same records; None where nothing is withheld
    kinds: dict[str, Kind]  # what comes out
    renamed: dict[str, str]  # without an aggregate: what comes out -> column of the joined frame
    noise: NoisePlan | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.kinds)


@dataclass(frozen=True)
class Derived:
    """What became of the rows that came into the table."""

    rows: pl.DataFrame  # `_ident` and the columns of the table
    counts: dict[str, Any]
    rejected: pl.DataFrame  # `_ident`, what was looked at of the joined rows, and why
    withheld: dict[str, int] = field(default_factory=dict)  # of an aggregated table its groups, by reason


@dataclass(frozen=True)
class _Gathered:
    """The records of a derived table, before anything is done with groups."""

    read: int
    unmet: dict[str, int]
    outcome: Outcome


def derive_tables(
    tables: Mapping[str, DerivedTable], rows: Mapping[str, pl.DataFrame], key: bytes, ask: Ask = nobody_asks
) -> dict[str, Derived]:
    """All derived tables of a task, of which none comes before what it is derived from. `rows`: collected tables."""
    derived: dict[str, Derived] = {}

    def derive(name: str) -> pl.DataFrame:
        if name not in derived:
            family = tables[name].family
            several = [name] if family is None else [one for one, table in tables.items() if table.family == family]
            bases = {tables[one].base for one in several} & set(tables)
            there = {**rows, **{base: derive(base) for base in bases}}
            derived.update(derive_family({one: tables[one] for one in several}, there, key, ask))
        return derived[name].rows

    for name in tables:
        derive(name)
    return {name: derived[name] for name in tables}


def derive_family(
    tables: Mapping[str, DerivedTable], there: Mapping[str, pl.DataFrame], key: bytes, ask: Ask = nobody_asks
) -> dict[str, Derived]:
    """A table that withholds nothing, or all tables of a family; `there`: what they are derived from, by identity."""
    gathered = {name: _gathered(table, there) for name, table in tables.items()}
    careful = {
        name: (one.outcome.kept, plan)
        for name, one in gathered.items()
        if tables[name].family is not None and (plan := tables[name].grouped) is not None
    }
    told = tell(careful, IDENT) if careful else {}
    return {name: _derived(tables[name], one, told.get(name), key, ask) for name, one in gathered.items()}


def _gathered(table: DerivedTable, there: Mapping[str, pl.DataFrame]) -> _Gathered:
    read, joined, unmet = _joined(table, there)
    return _Gathered(read, unmet, _transformed(table, joined))


def _derived(table: DerivedTable, gathered: _Gathered, told: Told | None, key: bytes, ask: Ask) -> Derived:
    kept = gathered.outcome.kept if told is None else told.frame
    out = _shaped(table, kept, key, ask)
    if told is not None and not told.any:
        out = out.clear()
    small = gathered.outcome.kept.height - kept.height
    counts = {
        "read": gathered.read,
        "prepared": out.height,
        "merged": max(0, kept.height - out.height),  # an aggregate of no rows is one row, if it has no groups
        "rejected": gathered.outcome.rejected.height,
        "dropped": gathered.unmet | gathered.outcome.dropped | ({SMALL_GROUP: small} if small else {}),
    }
    return Derived(out, counts, gathered.outcome.rejected, {} if told is None else told.withheld)


def _transformed(table: DerivedTable, joined: pl.DataFrame) -> Outcome:
    outcome = table.transform.apply(joined)
    if table.grouped is None:
        return outcome
    kept, failed = computable(outcome.kept, table.grouped)
    failed = failed.select(outcome.rejected.columns)  # as it came: without what was derived
    return Outcome(kept, outcome.dropped, pl.concat([outcome.rejected, failed]))


def _shaped(table: DerivedTable, frame: pl.DataFrame, key: bytes, ask: Ask) -> pl.DataFrame:
    if table.grouped is not None:
        if table.noise is None:
            result = aggregate(frame, table.grouped)
        else:
            result = tell_noisy(table.name, frame, table.noise, table.grouped, ask)
        names = [group.name for group in table.grouped.by]
        identity = pl.struct(names).hash(seed(key, table.name)) if names else pl.lit(1, dtype=pl.UInt64)
    else:
        result = frame.select(pl.col(IDENT), *(pl.col(source).alias(name) for name, source in table.renamed.items()))
        identity = pl.col(IDENT)
    return result.select(identity.alias(IDENT), *table.columns)


def _joined(table: DerivedTable, there: Mapping[str, pl.DataFrame]) -> tuple[int, pl.DataFrame, dict[str, int]]:
    """(rows of the base, those that met a row of every joined table, how many met none by join)."""
    frame = _side(table, table.base, there, keep_identity=True)
    read = frame.height
    unmet: dict[str, int] = {}
    for other, column, other_key in table.joins:
        right = _side(table, other, there, keep_identity=False)
        before = frame.height
        frame = frame.join(
            right, left_on=f"{table.base}.{column}", right_on=f"{other}.{other_key}", how="inner", coalesce=False
        )
        if frame.height < before:
            rule = f"{column}.join"
            unmet[rule] = unmet.get(rule, 0) + before - frame.height
    return read, frame, unmet


def _side(table: DerivedTable, name: str, there: Mapping[str, pl.DataFrame], keep_identity: bool) -> pl.DataFrame:
    """What is needed of one table; nothing has come of it yet when it is not there."""
    columns = table.needed[name]
    if name in there:
        return _qualified(there[name], name, columns, keep_identity)
    schema: dict[str, pl.DataType] = {IDENT: pl.UInt64()} if keep_identity else {}
    return pl.DataFrame(
        schema=schema | {f"{name}.{column}": table.transform.columns[f"{name}.{column}"].polars for column in columns}
    )


def _qualified(frame: pl.DataFrame, name: str, columns: tuple[str, ...], keep_identity: bool) -> pl.DataFrame:
    named = [pl.col(column).alias(f"{name}.{column}") for column in columns]
    if keep_identity:
        named.append(pl.col(HASH if HASH in frame.columns else IDENT).alias(IDENT))
    return frame.select(named)


def _used(transform: RecordTransform, grouped: AggregatePlan | None, noise: NoisePlan | None) -> set[str]:
    """The joined frame's columns that steps and aggregate look at; what is derived is among them and does no harm."""
    used = {column for operation in transform.operations for column in operation.compiled.uses}
    if grouped is not None:
        used |= {group.column for group in grouped.by}
        used |= {name for column in grouped.columns if column.argument for name in column.argument.uses}
        used |= {grouped.small.subject} if grouped.small and grouped.small.subject else set()
    if noise is not None and noise.subject is not None:
        used.add(noise.subject)
    return used


def compile_derived(name: str, task: Task) -> DerivedTable:
    (base, joins), *_ = (task.tables[name].from_ or {}).items()
    joined = []
    for other, column in joins.join.items():
        key = task.tables[other].primary_key
        if key is None or len(key.columns) != 1:
            raise Fatal(f"tables.{name}.from.{base}.join.{other}: a joined table needs a primary key of one column")
        joined.append((other, column, key.columns[0]))
    transform, grouped = table_plan(name, task)
    kinds = output_columns(name, task)
    renamed = {} if grouped is not None else projection(name, task)
    noise = noise_of(name, task)
    used = _used(transform, grouped, noise) | set(renamed.values())
    for other, column, other_key in joined:
        used |= {f"{base}.{column}", f"{other}.{other_key}"}
    needed: dict[str, tuple[str, ...]] = {}
    for one in (base, *(other for other, _, _ in joined)):
        needed[one] = tuple(column for column in output_columns(one, task) if f"{one}.{column}" in used)
    handling = handling_of(name, task)
    family = handling.family if handling is not None and handling.rule is not None else None
    return DerivedTable(name, base, tuple(joined), needed, transform, grouped, family, kinds, renamed, noise)
