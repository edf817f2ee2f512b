"""The lane on which corrected dead letters come in again: through every stage, like any record of their source."""

from __future__ import annotations

import base64
import time
from typing import Any

import orjson
import polars as pl
import structlog
from psycopg.rows import tuple_row

from connectors.connect.lane import LaneReader
from connectors.sources.contract import REJECTS
from connectors.sources.formats.again import read_again
from connectors.sources.formats.rejected import Reject, frame_of
from connectors.sources.formats.texts import TextOptions
from control_api.store.db import Connections
from schemas import extracted, sealing
from schemas.columns import LINE, OP, POSITION
from schemas.headers import FINAL
from schemas.memo import MEMO, Memo
from schemas.task.model import Changes, Column

log = structlog.get_logger()

SPLIT = "replay"


def run_replays(reader: LaneReader, store: Connections) -> None:
    """Sends what was not sent yet, one record a batch in the order it was asked for, then ends the lane's epoch."""
    run, key = reader.run, reader.around.key
    while reader.going():
        at = reader.state.positions.get(SPLIT, {"position": 0})["position"]
        with store() as conn, conn.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(
                "SELECT r.seq, r.letter, r.tab, r.source, r.sealed, d.sealed, (d.position->>'change')::bigint"
                " FROM metal.replays r LEFT JOIN metal.dead_letters d ON d.id = r.letter"
                " WHERE r.run = %s AND r.seq > %s ORDER BY r.seq",
                (run.run, at),
            ).fetchall()
        for seq, letter, table, source, sealed, first, change in rows:
            record = orjson.loads(sealing.unseal(key, bytes(sealed), letter))
            memo = _memo(orjson.loads(sealing.unseal(key, bytes(first), letter)), record) if first else None
            _send(reader, seq, table, source, record, change or 0, memo)
        _end(reader)  # also when an earlier owner sent the records and died before their barrier
        if reader.flush():
            reader.save(done=True)
        return


def _memo(letter: dict[str, Any], record: dict[str, Any]) -> Memo | None:
    """What the letter remembers, as it holds for its correction."""
    told = letter.get(MEMO)
    return None if told is None else Memo.read(told).after(letter, record)


def _send(
    reader: LaneReader,
    seq: int,
    table: str,
    source: str,
    record: dict[str, Any],
    change: int,
    memo: Memo | None,
) -> None:
    spec = reader.run.spec.tables[table]
    told = spec.sources[source]
    frame, rejects = _typed(record, dict(spec.columns), seq, change, TextOptions.told(told.options))
    if told.changes:
        frame = _placed(frame, told.changes if isinstance(told.changes, Changes) else Changes(), change)
    extra = {
        "split": SPLIT,
        "source": list(spec.sources).index(source),
        "name": source,
        "position": seq,
        "skip": 0,
        "rejects": rejects.height,
        "at": time.time(),
    }
    if memo is not None:
        sealed = sealing.seal(reader.around.key, orjson.dumps(memo.told()), MEMO)
        extra[MEMO] = base64.b64encode(sealed).decode()
    header = reader.header("data", table, frame.height + rejects.height, 0, extra)
    reader.send(header, extracted.seal(frame, rejects, reader.around.key))


def _placed(frame: pl.DataFrame, changes: Changes, change: int) -> pl.DataFrame:
    """A correction stands where the record that fell stood, or where its corrected column puts it."""
    place, deleted = pl.lit(change), pl.lit(0)
    if changes.order_by in frame.columns:
        place = pl.col(changes.order_by).to_physical().fill_null(change)
    if changes.delete is not None and changes.delete.column in frame.columns:
        equals = changes.delete.equals
        texts = [equals] if isinstance(equals, str) else equals
        deleted = pl.col(changes.delete.column).cast(pl.String).is_in(texts).fill_null(False)
    return frame.with_columns(place.cast(pl.Int64).alias(POSITION), deleted.cast(pl.Int8).alias(OP))


def _typed(
    record: dict[str, Any], columns: dict[str, Column], seq: int, change: int, options: TextOptions
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(the record as declared, or the reason why not): values may be JSON's or the text that a file would have."""
    frame, refusals = read_again([record], columns, options)
    frame = frame.with_columns(pl.lit(seq, dtype=pl.Int64).alias(LINE))
    if not refusals.rows:
        return frame, pl.DataFrame(schema=REJECTS)
    column, reason = refusals.rows[0]
    still = {name: record.get(name) for name in columns}
    return frame.clear(), frame_of([Reject(seq, column, reason, orjson.dumps(record), still, change)])


def _end(reader: LaneReader) -> None:
    """An epoch behind the last of the other lanes: until they have ended theirs, what is sent again goes with them."""
    reader.barrier(max(reader.state.epoch, FINAL) + 1)
