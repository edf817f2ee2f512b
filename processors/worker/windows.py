"""The windows of a run part: what they release at an epoch, and how their state becomes durable.

What a close changes in the state is a table of identities of its own, in the run part's segments under a name that no
declared table has. It is written behind the output and before the progress of that close, and is read up to the last
closed boundary alone: a close that is interrupted is done again from the state before it, and gives the same rows and
the same output under the same numbers. A waiting row's values aren't in it; they are read where the row stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from processors.anonymize.protocol import Treatment
from processors.anonymize.windowed import At, Step, epochs_of, state_of, step, suppressed
from processors.merge.resolve import IDENT
from processors.plan import TablePlan
from processors.privacy.releases.windows import CLASS, State
from processors.references.related import difference, present, rows_of
from processors.segments.format import build
from processors.worker.ledger import OWN
from processors.worker.run_part import BLOCK_ROWS, RunPart
from processors.worker.shape import prepared_at_once
from schemas.columns import HASH, IDENTITY, OP, POSITION, polars_type
from schemas.errors import Fatal
from schemas.headers import FINAL

Frames = dict[str, pl.DataFrame]

PIECE = 1 << 16  # rows of state in a segment
BATCH = 1 << 15  # rows of a batch, up to the end of its last group
WAITS, SHOWN, SPENT = 0, 1, 2
_STATE = "_state"
_WAITING = {"_arrival": pl.Int64, "_carried": pl.Int64, "_opened": pl.Int64}
_SHOWN = {CLASS: pl.Int64, "_cohort": pl.Int64, "_subject": pl.UInt64, "_content": pl.UInt64}
_SCHEMA = {HASH: pl.UInt64, _STATE: pl.Int8} | _WAITING | _SHOWN


def windowed(part: RunPart) -> dict[str, Treatment]:
    """The tables whose groups are formed in windows."""
    found = {}
    for name, table in part.info.plan.tables.items():
        group = table.output_plan.methods.group
        if group is not None and group.windows is not None:
            found[name] = group
    return found


def advanced(part: RunPart, before: Frames, known: dict[str, State], after: Frames, epoch: int) -> dict[str, Step]:
    """What each table's windows release. `before` and `after` are the rows that are there."""
    found = {}
    for name, treatment in windowed(part).items():
        if name not in after:
            continue
        rows, was = after[name], before.get(name)
        state = known[name] if name in known else state_of(rows, treatment)
        at = At(part.progress.closes, epoch, epochs_of(treatment, part.info.plan.epoch), epoch >= FINAL)
        try:
            found[name] = step(state, treatment, rows, difference(was, rows), at, part.info.key, name)
        except Fatal as error:
            raise Fatal(f"table {name}: {error}") from error
    return found


def recalled(part: RunPart, before: Frames) -> dict[str, State]:
    """The states behind the last closed epoch; `before` are the rows that were there."""
    return {
        name: _recalled(part, name, state_of(before[name], treatment), treatment.looks, before[name])
        for name, treatment in windowed(part).items()
        if name in before
    }


def _recalled(part: RunPart, name: str, empty: State, looks: tuple[str, ...], rows: pl.DataFrame) -> State:
    tables = [own for own in part.own_tables() if own.startswith(f"{name}{OWN}")]
    segments = [one for own in tables for one in part.segments(own, upto=part.progress.boundary)]
    found = present(segments, [column for column in _SCHEMA if column != HASH])
    if found is None:
        return empty
    identity = pl.col(HASH).reinterpret(signed=True).alias(IDENTITY)
    waits, shown, spent = (found.filter(pl.col(_STATE) == one) for one in (WAITS, SHOWN, SPENT))
    turns = waits.sort("_arrival", HASH).select(HASH, "_arrival", "_carried", "_opened")
    pending = turns.join(rows.select(HASH, POSITION, *looks), on=HASH, how="left", maintain_order="left")
    opened = turns["_opened"].to_list()
    return replace(
        empty,
        pending=pending.with_columns(identity).select(empty.pending.columns),
        members=shown.select(identity, *_SHOWN).select(empty.members.columns),
        spent=spent.select(identity)[IDENTITY],
        regions=shown.select(CLASS).unique(),
        opened=opened[0] if opened else None,
    )


def kept(part: RunPart, before: dict[str, State], after: dict[str, Step]) -> Iterator[tuple[str, bytes]]:
    """Segments with what a close changes in the state, and the names of the tables that they belong to."""
    for name, now in after.items():
        rows = _changes(before.get(name), now.state, part.progress.closes)
        for number, piece in enumerate(rows.iter_slices(PIECE) if rows.height else ()):
            yield f"{name}{OWN}{number}", build(piece, part.info.key, BLOCK_ROWS)


def _changes(before: State | None, now: State, close: int) -> pl.DataFrame:
    waits, was = _waiting(now), _waiting(before) if before is not None else _waiting(now).clear()
    fresh = waits.join(was, on=waits.columns, how="anti", nulls_equal=True)
    shown = now.members.filter(pl.col("_cohort") == close).select(_hash(), *_SHOWN)
    spent = now.spent[0 if before is None else len(before.spent) :].to_frame().select(_hash())
    told = pl.concat([waits.select(HASH), shown.select(HASH), spent])
    over = was.select(HASH).join(told, on=HASH, how="anti")
    parts = [(fresh, WAITS, 0), (shown, SHOWN, 0), (spent, SPENT, 0), (over, WAITS, 1)]
    marked = [
        frame.with_columns(pl.lit(state, dtype=pl.Int8).alias(_STATE), pl.lit(op, dtype=pl.Int8).alias(OP))
        for frame, state, op in parts
    ]
    empty = pl.DataFrame(schema=_SCHEMA | {OP: pl.Int8})
    rows = pl.concat([empty, *marked], how="diagonal")
    return rows.with_columns(pl.lit(close, dtype=pl.Int64).alias(POSITION)).sort(HASH)


def _waiting(state: State) -> pl.DataFrame:
    opened = pl.lit(state.opened, dtype=pl.Int64).alias("_opened")
    return state.pending.select(_hash(), "_arrival", "_carried", opened)


def _hash() -> pl.Expr:
    return pl.col(IDENTITY).reinterpret(signed=False).alias(HASH)


def not_shown(now: Step, rows: int) -> dict[str, int]:
    """How many records of a table with so many rows are not published, and why."""
    found = {"waiting": now.state.pending.height, "suppressed": suppressed(now.state, rows)}
    return {why: count for why, count in found.items() if count}


def released(part: RunPart, table: TablePlan, now: Step) -> Iterator[tuple[str, int, bytes]]:
    """Encoded batches: each takes back or publishes whole what changes at once, so none shows a part of a group."""
    output, columns = table.output_plan, table.output_plan.methods.group
    written = {} if columns is None else {name: polars_type(kind) for name, kind in columns.outputs.items()}
    empty = pl.DataFrame(schema=table.carried_schema | written)
    for gone in _by_group(now.withdrawn):
        yield table.name, *prepared_at_once(empty, gone.select(IDENT), output, part.info)
    none = now.withdrawn.select(IDENT).clear()
    for rows in _by_group(now.published):
        texts = rows.select(HASH, *written)
        found = pl.concat(rows_of(part.segments(table.name), rows, everything=False))
        whole = found.drop(written, strict=False).join(texts, on=HASH).rename({HASH: IDENT})
        yield table.name, *prepared_at_once(whole, none, output, part.info)


def _by_group(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Pieces that end with a group."""
    if not rows.height:
        return []
    rows = rows.sort(CLASS, maintain_order=True)
    piece = pl.int_range(pl.len()).first().over(CLASS) // BATCH
    return rows.with_columns(piece.alias("_piece")).partition_by("_piece", maintain_order=True, include_key=False)
