"""What stands prepared of related tables after an epoch, and what one epoch changes in that.

A function of a part's segments up to an offset: the same again after a crash. Tables whose records are grouped are
looked at as a whole; of them stands what the grouping lets through, as it may be published. Of tables that are grouped
in windows it is a function of the state before the epoch, too, which windows.py keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, cast

import polars as pl

from processors.aggregate.derive import Derived, derive_tables
from processors.anonymize.protocol import Numbered
from processors.anonymize.windowed import Step
from processors.merge.resolve import IDENT
from processors.plan import OutputPlan
from processors.privacy.releases.windows import State as Windowed
from processors.references.related import Difference, Survivors, difference, rows_of, survive
from processors.worker import metrics
from processors.worker.intake import add_counts
from processors.worker.numbered import apart, emitted, number
from processors.worker.run_part import RunPart
from processors.worker.shape import DERIVED, named, prepared
from processors.worker.windows import advanced, not_shown, recalled, released
from schemas.columns import CHANGED, HASH, POSITION, SOURCE, polars_type
from schemas.errors import Fatal
from schemas.placement import seed

Piece = tuple[str, int, bytes]  # table, rows, payload


@dataclass(frozen=True)
class State:
    survivors: Survivors
    derived: dict[str, Derived] = field(default_factory=dict)
    leaving: dict[str, pl.DataFrame] = field(default_factory=dict)  # table -> what may leave, where that is grouped
    beside: dict[str, pl.DataFrame] = field(default_factory=dict)  # rows of the tables that methods make beside others
    left_out: dict[str, Mapping[str, int]] = field(default_factory=dict)  # table -> method -> records that don't leave
    numbered: dict[str, Numbered] = field(default_factory=dict)  # table -> groups of its rows, of which no more is held
    windows: dict[str, Step] = field(default_factory=dict)  # table -> what the epoch changes, where it has windows
    known: dict[str, Windowed] = field(default_factory=dict)  # table -> the state of its windows
    presence: dict[str, tuple[float, float]] = field(default_factory=dict)  # table -> the bounds that its groups reach

    def collected(self, name: str) -> pl.DataFrame | None:
        return self.leaving.get(name, self.survivors.rows.get(name))

    def computed(self, name: str) -> pl.DataFrame:
        return self.leaving.get(name, self.derived[name].rows)


def stand(part: RunPart, upto: int) -> State:
    plan = part.info.plan
    alone = apart(part)
    tables = {name: part.segments(name, upto=upto) for name in plan.tables if name not in alone}
    survivors = survive(tables, plan.references, plan.needed)
    below = {name: one.table for name, one in plan.derived.items()}
    derived = derive_tables(below, survivors.rows, part.info.key, part.info.ask)
    state = State(survivors, derived, numbered={name: number(part, name) for name in sorted(alone)})
    for name, collected in plan.tables.items():
        group = collected.output_plan.methods.group
        if group and group.windows is None and name in survivors.rows:
            formed = _form(part, collected.output_plan, survivors.rows[name], HASH, state)
            state.leaving[name] = formed.select(HASH, POSITION, *collected.output_plan.methods.written)
    for name, computed in plan.derived.items():
        if computed.output_plan.methods.group:
            state.leaving[name] = _form(part, computed.output_plan, derived[name].rows, IDENT, state)
    return state


def stood(part: RunPart) -> State:
    """What stood behind the last closed epoch, windows included."""
    state = stand(part, part.progress.boundary)
    return replace(state, known=recalled(part, state.survivors.rows))


def follow(part: RunPart, before: State | None, epoch: int) -> State:
    """What stands after an epoch, windows included."""
    state = stand(part, 2**62)
    rows, known = (before.survivors.rows, before.known) if before else ({}, {})
    windows = advanced(part, rows, known, state.survivors.rows, epoch)
    return replace(state, windows=windows, known={name: one.state for name, one in windows.items()})


def _form(part: RunPart, output: OutputPlan, rows: pl.DataFrame, identity: str, state: State) -> pl.DataFrame:
    window = part.info.mode == "continuous"
    started = perf_counter()
    try:
        leaving = output.methods.leaving(rows, rows.get_column(identity), part.info.key, window, _others(output, state))
    except Fatal as error:
        raise Fatal(f"table {output.name}: {error}") from error
    metrics.grouped(output.methods.group_method, rows.height, perf_counter() - started)
    if output.linked is not None and leaving.linked is not None:
        names = list(output.linked.output)
        rank = pl.struct(names).hash(seed(part.info.key, output.linked.name))
        state.beside[output.linked.name] = leaving.linked.select(rank.alias(IDENT), *names)
    state.left_out[output.name] = leaving.left_out
    if leaving.presence is not None:
        state.presence[output.name] = leaving.presence
    return leaving.rows


def _others(output: OutputPlan, state: State) -> dict[str, pl.DataFrame]:
    """The tables that methods look at besides, whole; one that nothing came to yet is empty."""
    there = state.survivors.rows | {name: derived.rows for name, derived in state.derived.items()}
    found = {}
    for other in output.methods.beside:
        empty = pl.DataFrame(schema={name: column.kind.polars for name, column in other.columns.items()})
        found[other.table] = there.get(other.table, empty).select(empty.columns)
    return found


def pieces(part: RunPart, before: State | None, after: State, first: bool) -> Iterator[Piece]:
    """Encoded batches of what is to be prepared, changed or removed."""
    for name, table in part.info.plan.tables.items():
        if name in after.numbered:
            yield from emitted(part, name, after.numbered[name])
            continue
        if name in after.windows:
            yield from released(part, table, after.windows[name])
            continue
        change = difference(before.collected(name) if before else None, after.collected(name), name in after.leaving)
        yield from _collected(part, name, change, first)
    for name, derived in part.info.plan.derived.items():
        was = before.computed(name) if before else None
        yield from _computed(part, derived.output_plan, was, after.computed(name), first)
    outputs = part.info.plan.outputs()
    for name, rows in after.beside.items():
        yield from _computed(part, outputs[name], before.beside.get(name) if before else None, rows, first)


def _computed(
    part: RunPart, output: OutputPlan, before: pl.DataFrame | None, rows: pl.DataFrame, first: bool
) -> Iterator[Piece]:
    gone = rows.select(IDENT).clear()
    if before is not None:
        rows, gone = _changed(before, rows)
    marked = rows.with_columns(
        pl.lit(DERIVED, dtype=pl.UInt16).alias(SOURCE), pl.lit(0, dtype=pl.UInt64).alias(CHANGED)
    )
    if rows.height or gone.height:
        yield from named(output.name, prepared(marked, gone, output, part.info, first))


def _collected(part: RunPart, name: str, change: Difference, first: bool) -> Iterator[Piece]:
    table = part.info.plan.tables[name]
    none = change.gone.clear()
    for frame in rows_of(part.segments(name), change.appeared, everything=first) if change.appeared.height else ():
        rows = _published(frame, change.appeared).rename({HASH: IDENT})
        yield from named(name, prepared(rows, none, table.output_plan, part.info, first))
    if change.gone.height:
        written = {column: polars_type(kind) for column, kind in table.output_plan.methods.written.items()}
        empty = pl.DataFrame(schema=table.carried_schema | written)
        yield from named(name, prepared(empty, change.gone, table.output_plan, part.info, first))


def _published(frame: pl.DataFrame, appeared: pl.DataFrame) -> pl.DataFrame:
    """Whole rows, what was grouped of them as it may be published; `appeared` is in the order of its hashes."""
    grouped = [column for column in appeared.columns if column not in (HASH, POSITION)]
    if not grouped:
        return frame
    hashes, known = frame.get_column(HASH), appeared.get_column(HASH)
    start = known.search_sorted(cast(int, hashes.min()))
    end = known.search_sorted(cast(int, hashes.max()), side="right")
    return frame.drop(grouped, strict=False).join(appeared[start:end].select(HASH, *grouped), on=HASH)


def counts(part: RunPart, after: State) -> dict[str, Any]:
    """The present counts of all tables, each record of them accounted for."""
    found: dict[str, Any] = {}
    for told in part.progress.told.values():
        for table, numbers in told.items():
            add_counts(found.setdefault(table, {}), numbers)
    for table, dropped in after.survivors.dropped.items():
        if dropped:
            add_counts(found.setdefault(table, {}), {"dropped": dropped})
    for table, rows in after.survivors.rows.items():
        found[table]["prepared"] = rows.height
    for table, groups in after.numbered.items():
        found[table]["prepared"] = len(groups.of_row)
    for table, derived in after.derived.items():
        found[table] = {"withheld": derived.withheld} if derived.withheld else {}
        add_counts(found[table], derived.counts)
    found |= {table: {"read": rows.height, "prepared": rows.height} for table, rows in after.beside.items()}
    for table, rules in _staying(part, after):
        found[table]["prepared"] -= sum(rules.values())
        add_counts(found[table], {"dropped": rules})
    for table, bounds in after.presence.items():
        found[table]["presence"] = [*bounds]  # while there still is a population to tell it by
    return found


def _staying(part: RunPart, after: State) -> Iterator[tuple[str, dict[str, int]]]:
    """Of each table that is grouped how many records don't leave, by the rule that keeps them."""
    outputs = part.info.plan.outputs()
    for table, groups in after.numbered.items():
        if groups.left_out:
            yield table, {f"{outputs[table].methods.group_method}.suppressed": groups.left_out}
    for table, now in after.windows.items():
        why = not_shown(now, after.survivors.rows[table].height)
        yield table, {f"{outputs[table].methods.group_method}.{one}": count for one, count in why.items()}
    for table, left_out in after.left_out.items():
        yield table, {f"{method}.suppressed": count for method, count in left_out.items()}


def _changed(old: pl.DataFrame, new: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows that are new or another than before, identities that are no longer)."""
    upserts = new.join(old, on=new.columns, how="anti", nulls_equal=True)
    return upserts, old.select(IDENT).join(new.select(IDENT), on=IDENT, how="anti")
