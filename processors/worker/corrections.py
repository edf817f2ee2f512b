"""Corrections on their way through the worker: what a dead letter keeps for one, and what one says to the merge.

A replayed record comes with the memo of its letter, sealed in its header. Columns that the correction leaves alone
pass no rule a second time, and the record that it corrects is withdrawn where it stands.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson
import polars as pl

from processors.anonymize.identity import identities
from processors.merge.corrections import affirmation, content_of, withdrawal
from processors.merge.resolve import Generate
from processors.plan import TablePlan
from processors.worker.directory import RunInfo
from processors.worker.intake import REPLAY
from schemas import sealing
from schemas.columns import CHANGED, HASH, OP, POSITION, SOURCE, WEIGHT
from schemas.headers import Header
from schemas.memo import MEMO, Memo
from schemas.placement import seed


def generate(info: RunInfo, table: str) -> Generate:
    def generate(content: pl.Series) -> pl.Series:
        return identities(content, f"{table}.key", info.key).reinterpret(signed=False)

    return generate


def memo_of(header: Header, info: RunInfo) -> Memo | None:
    """None of a record that no correction brings."""
    sealed = header.extra.get(MEMO)
    if sealed is None:
        return None
    return Memo.read(orjson.loads(sealing.unseal(info.key, base64.b64decode(sealed), MEMO)))


def kept_again(memo: Memo | None) -> dict[str, Any]:
    """What the letter of a correction that falls keeps beside its record: which columns still need no rule."""
    return {} if memo is None or not memo.ruled else {MEMO: Memo(None, memo.ruled, memo.changed).told()}


def words(frame: pl.DataFrame, table: TablePlan, header: Header, info: RunInfo, memo: Memo | None) -> pl.DataFrame:
    """What a replayed batch says: that its records stand, and that the one they correct does not."""
    if header.producer != REPLAY or not table.merge.key:
        return frame.clear()
    number = int(header.extra["position"])
    standing = (pl.col(WEIGHT) > 0) & ((pl.col(OP) == 0) if table.change_columns else pl.lit(True))
    records = frame.filter(standing)
    contents = content_of(records, table.stored, seed(info.key, "content"), generate(info, table.name))
    placed = [HASH, SOURCE, *table.change_columns]
    told = [records.select(*placed, contents.alias(CHANGED), pl.lit(affirmation(number), dtype=pl.Int64).alias(WEIGHT))]
    if memo is not None and memo.stands is not None:
        place = {HASH: memo.stands.key, SOURCE: header.extra["source"], POSITION: memo.stands.change, OP: 0}
        row = {name: place[name] for name in placed} | {
            CHANGED: memo.stands.content,
            WEIGHT: withdrawal(number),
        }
        told.append(pl.DataFrame([row], schema=told[0].schema))
    return pl.concat([frame.clear(), *told], how="diagonal")
