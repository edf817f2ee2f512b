"""Snapshot tables that are grouped by themselves: nothing of their rows is held but the number of each one's group.

Always holds: the rows come in the order of their identities whenever they are walked, so a row's place tells its group.
Only the first close of a snapshot goes this way, of tables that no other table looks at; whatever follows it
(corrections) holds the columns that are looked at, as for all other tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import polars as pl

from processors.anonymize.protocol import Numbered
from processors.anonymize.runner import CompiledMethods
from processors.merge.resolve import IDENT
from processors.plan import TaskPlan
from processors.references.related import RANGE_ROWS, latest
from processors.worker import metrics
from processors.worker.run_part import RunPart
from processors.worker.shape import named, prepared
from schemas.columns import HASH
from schemas.errors import Fatal


def apart(part: RunPart) -> set[str]:
    """The tables of the close that is due that are numbered."""
    if part.info.mode != "snapshot" or part.progress.closes:
        return set()
    plan = part.info.plan
    found = {name for name, table in plan.tables.items() if _in_parts(table.output_plan.methods)}
    return {name for name in found - _looked_at(plan) if part.segments(name)}


def _in_parts(methods: CompiledMethods) -> bool:
    """Whether the groups need nothing but the table's own rows as they are."""
    return methods.group is not None and methods.group.number is not None and not (methods.cleared or methods.beside)


def _looked_at(plan: TaskPlan) -> set[str]:
    """Tables with references, and those that others refer to, are computed from or look at."""
    linked = {name for link in plan.references for name in (link.table, link.target)}
    linked |= {other.table for output in plan.outputs().values() for other in output.methods.beside}
    return linked | {name for derived in plan.derived.values() for name in derived.table.needed}


def number(part: RunPart, name: str) -> Numbered:
    """The groups of a table's rows."""
    methods = part.info.plan.tables[name].output_plan.methods
    segments = part.segments(name)
    if methods.group is None or methods.group.number is None:
        raise ValueError(f"{name} forms no groups in parts")
    started = perf_counter()
    try:
        found = methods.group.number(frame.select(methods.looks) for frame in latest(segments))
    except Fatal as error:
        raise Fatal(f"table {name}: {error}") from error
    metrics.grouped(methods.group_method, len(found.of_row), perf_counter() - started)
    return found


def emitted(part: RunPart, name: str, found: Numbered) -> Iterator[tuple[str, int, bytes]]:
    """Encoded batches of the rows that stay."""
    table = part.info.plan.tables[name]
    none = pl.DataFrame(schema={IDENT: pl.UInt64})
    start = 0
    for frame in latest(part.segments(name), RANGE_ROWS):
        columns, kept = found.published(start, frame.height)
        start += frame.height
        rows = frame.with_columns(columns.get_columns()).filter(kept).rename({HASH: IDENT})
        if rows.height:
            yield from named(name, prepared(rows, none, table.output_plan, part.info, True))
