"""The lane on which corrected dead letters come in again: through every stage, like any record of their source."""

from __future__ import annotations

import time
from typing import Any

import orjson
import polars as pl
import structlog
from psycopg.rows import tuple_row

from connectors.connect.lane import LaneReader
from connectors.sources.contract import REJECTS
from connectors.sources.formats.texts import TextOptions, read_texts
from control_api.store.db import Connections
from schemas import extracted, sealing
from schemas.columns import LINE, OP, POSITION
from schemas.headers import FINAL
from schemas.task.model import Column

log = structlog.get_logger()

SPLIT = "replay"


def run_replays(reader: LaneReader, store: Connections) -> None:
    """Sends what was not sent yet, one record a batch in the order it was asked for, then ends the lane's epoch."""
    run, key = reader.run, reader.around.key
    while reader.going():
        at = reader.state.positions.get(SPLIT, {"position": 0})["position"]
        with store() as conn, conn.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(
                "SELECT r.seq, r.letter, r.tab, r.source, r.sealed, (d.position->>'change')::bigint"
                " FROM metal.replays r LEFT JOIN metal.dead_letters d ON d.id = r.letter"
                " WHERE r.run = %s AND r.seq > %s ORDER BY r.seq",
                (run.run, at),
            ).fetchall()
        for seq, letter, table, source, sealed, change in rows:
            record = orjson.loads(sealing.unseal(key, bytes(sealed), letter))
            _send(reader, seq, table, source, record, change or 0)
        _end(reader)  # also when an earlier owner sent the records and died before their barrier
        if reader.flush():
            reader.save(done=True)
        return


def _send(reader: LaneReader, seq: int, table: str, source: str, record: dict[str, Any], change: int) -> None:
    spec = reader.run.spec.tables[table]
    frame, rejects = _typed(record, dict(spec.columns), seq)
    if spec.sources[source].changes:  # a correction stands where the record that fell stood
        frame = frame.with_columns(pl.lit(change, dtype=pl.Int64).alias(POSITION), pl.lit(0, dtype=pl.Int8).alias(OP))
    extra = {
        "split": SPLIT,
        "source": list(spec.sources).index(source),
        "name": source,
        "position": seq,
        "skip": 0,
        "rejects": rejects.height,
        "at": time.time(),
    }
    header = reader.header("data", table, frame.height + rejects.height, 0, extra)
    reader.send(header, extracted.seal(frame, rejects, reader.around.key))


def _typed(record: dict[str, Any], columns: dict[str, Column], seq: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(the record as declared, or the reason why not): values may be JSON's or the text that a file would have."""
    texts = pl.DataFrame(
        {name: [_text(record.get(name))] for name in columns}, schema=dict.fromkeys(columns, pl.String)
    )
    frame, refusals = read_texts(texts, columns, TextOptions())
    frame = frame.with_columns(pl.lit(seq, dtype=pl.Int64).alias(LINE))
    rejects = pl.DataFrame(schema=REJECTS)
    if refusals.rows:
        column, reason = refusals.rows[0]
        raw = orjson.dumps(record).decode()
        return frame.clear(), pl.DataFrame([(seq, column, reason, raw)], schema=REJECTS, orient="row")
    return frame, rejects


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _end(reader: LaneReader) -> None:
    if reader.run.mode == "continuous":
        reader.barrier(int(time.time() / reader.run.spec.epoch) + 1)
    else:
        reader.barrier(max(reader.state.epoch, FINAL) + 1)
