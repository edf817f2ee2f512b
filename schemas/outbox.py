"""Batches for the review store that are not anonymized: sealed under the key of their run.

Whether a table's batches are sealed stands in the run's waiver, not in the message, so that a message can't say.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from schemas import batch, sealing


def seal(frame: pl.DataFrame, key: bytes, table: str) -> bytes:
    return sealing.seal(key, batch.encode(frame), _about(table))


def unseal(payload: bytes, key: bytes, table: str) -> pa.Table:
    return batch.table_of(sealing.unseal(key, payload, _about(table)))


def _about(table: str) -> str:
    return f"outbox/{table}"
