"""The relate agent: checks references between tables, computes derived ones, anonymizes and emits what changed.

All tables of one run that refer to each other meet on one partition, so that chains, cycles and joins are settled in
one place; different runs stand on different partitions. See docs/adr/0008.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from connectors.failpoints import hit
from processors.aggregate.derive import Derived, derive_table
from processors.merge.resolve import IDENT
from processors.references.related import Difference, Survivors, difference, rows_of, survive
from processors.worker import metrics
from processors.worker.computed import letters_of
from processors.worker.directory import Directory
from processors.worker.intake import add_counts, closing, take
from processors.worker.merge_stage import WINDOW, merge_producers
from processors.worker.outlet import Outlet
from processors.worker.parts import Parts
from processors.worker.pipeline import in_pool
from processors.worker.rules_stage import send_letters
from processors.worker.run_part import RunPart
from processors.worker.shape import DERIVED, prepared
from schemas import topics
from schemas.columns import CHANGED, HASH, SOURCE
from schemas.headers import FINAL, Header

Piece = tuple[str, int, bytes]  # table, rows, payload


@dataclass(frozen=True)
class State:
    """What stands prepared after an epoch: a function of the segments up to an offset."""

    survivors: Survivors
    derived: dict[str, Derived] = field(default_factory=dict)


class RelateStage:
    def __init__(self, directory: Directory, outlet: Outlet, parts: Parts) -> None:
        self._directory = directory
        self._outlet = outlet
        self._parts = parts
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="relate")

    async def handle(self, partition: int, offset: int, header: Header, payload: bytes) -> list[Awaitable[Any]]:
        info = await self._directory.get(header.run)
        if info is None:
            return []
        part = self._parts.get(partition, info)
        verdict = take(part.progress, offset, header)
        if verdict == "seen":
            metrics.REPEATED.labels("relate").inc()
            return []
        if verdict == "taken":
            metrics.RECORDS.labels("relate").inc(header.rows)
            metrics.BYTES.labels("relate").inc(len(payload))
            return [await part.append(header.table, offset, payload)]
        part.progress.told[header.producer] = header.extra["counts"]
        epoch = closing(part.progress, merge_producers(info, self._outlet.partitions))
        if epoch is None:
            return [await part.record(offset)]
        await self._close(part, offset, epoch)
        return []

    async def _close(self, part: RunPart, offset: int, epoch: int) -> None:
        started = time.monotonic()
        await part.settled()
        await part.compact()  # what an earlier owner may have left undone
        before, after = await in_pool(self._pool, self._states, part)
        window: deque[Awaitable[Any]] = deque()
        await self._reject(part, before, after, window)
        pieces = self._pieces(part, before, after)
        while (piece := await in_pool(self._pool, next, pieces, None)) is not None:
            table, rows, payload = piece
            extra = {"append": True} if _first(part) else {}
            await self._emit(part, "data", table, rows, part.progress.closes, extra, payload, window)
            hit("worker.mid_epoch")
        end: dict[str, Any] = {
            "counts": self._counts(part, after),
            "final": epoch >= FINAL,
            "producers": [f"relate/{part.partition}"],
            "at": part.progress.at,
        }
        await self._emit(part, "end", "", 0, epoch, end, b"", window)
        while window:
            await window.popleft()
        part.progress.closes += 1
        part.progress.epoch = epoch
        part.progress.boundary = offset
        await (await part.record(offset))
        part.standing = (offset, after)
        await part.reclaim()
        await part.compact()
        metrics.EPOCH_SECONDS.labels("relate").observe(time.monotonic() - started)

    def _states(self, part: RunPart) -> tuple[State | None, State]:
        """(what stands prepared by now, what shall stand)."""
        before: State | None = None
        if part.progress.closes > 0:
            known, before = part.standing or (-1, None)
            if known != part.progress.boundary:
                before = self._state(part, part.progress.boundary)
        return before, self._state(part, 2**62)

    def _state(self, part: RunPart, upto: int) -> State:
        plan = part.info.plan
        tables = {name: part.segments(name, upto=upto) for name in plan.tables}
        survivors = survive(tables, plan.references, plan.needed)
        derived: dict[str, Derived] = {}
        for name, table in plan.derived.items():
            below = {other: one.rows for other, one in derived.items()}
            derived[name] = derive_table(table.table, survivors.rows, below, part.info.key)
        return State(survivors, derived)

    def _pieces(self, part: RunPart, before: State | None, after: State) -> Iterator[Piece]:
        for name in part.info.plan.tables:
            was = before.survivors.rows.get(name) if before else None
            change = difference(was, after.survivors.rows.get(name))
            yield from self._collected(part, name, change, _first(part))
        for name, derived in part.info.plan.derived.items():
            rows = after.derived[name].rows
            gone = rows.select(IDENT).clear()
            if before is not None:
                rows, gone = _changed(before.derived[name].rows, rows)
            marked = rows.with_columns(
                pl.lit(DERIVED, dtype=pl.UInt16).alias(SOURCE), pl.lit(0, dtype=pl.UInt64).alias(CHANGED)
            )
            if rows.height or gone.height:
                payload = prepared(marked, gone, derived.output_plan, part.info, _first(part))
                yield name, rows.height + gone.height, payload

    def _collected(self, part: RunPart, name: str, change: Difference, first: bool) -> Iterator[Piece]:
        table = part.info.plan.tables[name]
        none = change.gone.clear()
        for frame in rows_of(part.segments(name), change.appeared, everything=first) if change.appeared.height else ():
            rows = frame.rename({HASH: IDENT})
            yield name, rows.height, prepared(rows, none, table.output_plan, part.info, first)
        if change.gone.height:
            empty = pl.DataFrame(schema=table.carried_schema)
            yield name, change.gone.height, prepared(empty, change.gone, table.output_plan, part.info, first)

    def _counts(self, part: RunPart, after: State) -> dict[str, Any]:
        counts: dict[str, Any] = {}
        for told in part.progress.told.values():
            for table, numbers in told.items():
                add_counts(counts.setdefault(table, {}), numbers)
        for table, dropped in after.survivors.dropped.items():
            if dropped:
                add_counts(counts.setdefault(table, {}), {"dropped": dropped})
        for table, rows in after.survivors.rows.items():
            counts[table]["prepared"] = rows.height
        return counts | {table: derived.counts for table, derived in after.derived.items()}

    async def _reject(self, part: RunPart, before: State | None, after: State, window: deque[Awaitable[Any]]) -> None:
        """Of rows that a derived table rejects a dead letter each, once."""
        for name, derived in after.derived.items():
            rejected = derived.rejected
            if before is not None:
                rejected = rejected.join(before.derived[name].rejected, on=IDENT, how="anti")
            if rejected.height:
                metrics.REJECTED.labels("relate").inc(rejected.height)
                letters = await in_pool(self._pool, letters_of, rejected, name, part)
                window.extend(await send_letters(self._outlet, part.info, name, "transform", letters))

    async def _emit(
        self,
        part: RunPart,
        kind: Any,
        table: str,
        rows: int,
        epoch: int,
        extra: dict[str, Any],
        payload: bytes,
        window: deque[Awaitable[Any]],
    ) -> None:
        info, number = part.info, part.progress.out
        producer = f"relate/{part.partition}"
        header = Header(kind, info.task, info.run, table, producer, 0, number, epoch, rows, extra)
        part.progress.out += 1
        window.append(await self._outlet.send(topics.OUTBOX.name, part.partition, header, payload))
        while len(window) > WINDOW:
            await window.popleft()


def _changed(old: pl.DataFrame, new: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows that are new or another than before, identities that are no longer)."""
    upserts = new.join(old, on=new.columns, how="anti", nulls_equal=True)
    return upserts, old.select(IDENT).join(new.select(IDENT), on=IDENT, how="anti")


def _first(part: RunPart) -> bool:
    return part.progress.closes == 0 and part.info.mode == "snapshot"
