"""Where a record belongs: the hash of its key, and the partition that the hash falls into.

The hash is keyed by the run, so that what stands in an index says nothing about a key once the run's key is gone.
It comes from polars, whose hash may change between versions: `fingerprint` is stored with a run, and a worker
whose own differs must not touch that run.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import polars as pl

from schemas.columns import HASH


def seed(key: bytes, label: str = "placement") -> int:
    return int.from_bytes(hmac.digest(key, label.encode(), hashlib.sha256)[:8], "little")


def hash_of(columns: Sequence[str], key: bytes, label: str = "placement") -> pl.Expr:
    """UInt64, equal for equal values of the columns; nulls hash like any other value."""
    what = pl.col(columns[0]) if len(columns) == 1 else pl.struct(columns)
    return what.hash(seed(key, label)).alias(HASH)


def boundaries(partitions: int) -> list[int]:
    """The lowest hash of each logical partition: equal ranges, so that rows sorted by hash fall into slices."""
    return [-(-(q << 64) // partitions) for q in range(partitions)]


def fingerprint() -> str:
    """Changes when the hash function does."""
    frame = pl.DataFrame({"a": [0, 1, -1, None], "b": ["", "x", "é", None], "c": [0.5, None, -0.0, 1e300]})
    key = bytes(range(32))
    hashes = [frame.select(hash_of(names, key)).to_series().to_list() for names in (["a"], ["b"], ["c"], ["a", "b"])]
    return hashlib.sha256(repr(hashes).encode()).hexdigest()[:16]
