"""The identity of a record in the review store: a keyed pseudo-random function of its key's hash.

Equal hashes of one table in one run have equal identities; without the run's key an identity tells nothing, and
tables and runs can't be linked by it.
"""

from __future__ import annotations

import polars as pl

from processors.anonymize.randomness import subkey, words


def identities(hashes: pl.Series, table: str, key: bytes) -> pl.Series:
    """Int64 identities of UInt64 hashes."""
    high, _ = words(subkey(key, "identity", table), hashes)
    return high.reinterpret(signed=True).alias(hashes.name)
