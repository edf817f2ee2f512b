"""Dead letters of rows that a derived table rejects: what was looked at of a joined row, sealed.

Such a row has no place in a source, so its position names none: it is looked at and discarded, never sent again.
"""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl
import polars.selectors as cs

from processors.merge.resolve import IDENT
from processors.outcome import REJECT_COLUMN, REJECT_REASON, REJECT_RULE
from processors.worker.run_part import RunPart
from schemas import sealing

_POSITION = orjson.dumps({"source": None, "split": "", "line": None}).decode()


def letters_of(rejected: pl.DataFrame, table: str, part: RunPart) -> list[dict[str, Any]]:
    """The same again when the epoch is closed again."""
    columns = [name for name in rejected.columns if not name.startswith("_")]
    told = rejected.with_columns(  # as texts what JSON has no form for
        cs.temporal().cast(pl.String), cs.decimal().cast(pl.String), cs.binary().bin.encode("base64")
    )
    letters = []
    for row in told.iter_rows(named=True):
        name = f"{part.info.run}/{table}/relate/{part.progress.closes}/{row[IDENT]}"
        record = orjson.dumps({column: row[column] for column in columns})
        letters.append(
            {
                "id": name,
                "rule": row[REJECT_RULE],
                "column": row[REJECT_COLUMN],
                "reason": row[REJECT_REASON],
                "position": _POSITION,
                "sealed": sealing.seal(part.info.key, record, name),
            }
        )
    return letters
