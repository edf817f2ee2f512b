"""The digest of a table's rows: the same whatever their order and whatever file format they were written in.

A row is one line of UTF-8: its fields in the order of the columns, joined by commas; a null is `-`, any other value
`LENGTH:TEXT`, the length in bytes. The digest is the SHA-256 of the SHA-256 of the header line (name and type of
every column, as fields) and of the SHA-256 of all row lines in ascending order, repeated rows as often as they are.

Texts of values: string and json as they are; int64 in digits; decimal without trailing zeros; bool `true` or `false`;
date and timestamp as days and microseconds since 1970-01-01 UTC; binary in hex; float64 as the unsigned number that
its 64 bits are, with one zero and one NaN. It must not know where rows come from or where its spools lie.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol

import numpy as np
import polars as pl

from schemas.columns import ColumnType

_BUCKETS: Final = 64  # by the first 6 bits of a hash: one at a time is sorted in memory
_HASH: Final = 32


class Spool(Protocol):
    """Where hashes wait to be sorted: a file, in memory or not."""

    def write(self, data: bytes, /) -> object: ...

    def seek(self, offset: int, /) -> object: ...

    def read(self) -> bytes: ...

    def close(self) -> None: ...


class RowsDigest:
    """Takes a table in pieces. With spools that go to disk its memory does not follow the rows."""

    def __init__(self, columns: Mapping[str, ColumnType], spool: Callable[[], Spool] = io.BytesIO) -> None:
        self._columns = dict(columns)
        self._spool = spool
        self._spools: dict[int, Spool] = {}
        self.rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        hashes = np.frombuffer(
            b"".join([hashlib.sha256(line).digest() for line in lines(frame, self._columns)]), dtype=f"S{_HASH}"
        )
        self.rows += len(hashes)
        buckets = hashes.view(np.uint8)[::_HASH] >> 2
        order = np.argsort(buckets, kind="stable")
        parts = np.split(hashes[order], np.cumsum(np.bincount(buckets, minlength=_BUCKETS))[:-1])
        for bucket, part in enumerate(parts):
            if len(part):
                if bucket not in self._spools:
                    self._spools[bucket] = self._spool()
                self._spools[bucket].write(part.tobytes())

    def hexdigest(self) -> str:
        """May be asked once: the spools are closed behind it."""
        whole = hashlib.sha256(hashlib.sha256(header(self._columns)).digest())
        for bucket in sorted(self._spools):
            spool = self._spools.pop(bucket)
            spool.seek(0)
            whole.update(np.sort(np.frombuffer(spool.read(), dtype=f"S{_HASH}")).tobytes())
            spool.close()
        return whole.hexdigest()

    def close(self) -> None:
        """Gives the spools up."""
        for spool in self._spools.values():
            with suppress(OSError):  # a file that can't be closed holds nothing that is still wanted
                spool.close()
        self._spools.clear()


def header(columns: Mapping[str, ColumnType]) -> bytes:
    """The first line: which columns the rows have."""
    words = [word.encode() for pair in columns.items() for word in pair]
    return b",".join(b"%d:%s" % (len(word), word) for word in words)


def lines(frame: pl.DataFrame, columns: Mapping[str, ColumnType]) -> list[bytes]:
    """Every row as its canonical line."""
    texts = pl.DataFrame([text_of(frame[name], kind).alias(name) for name, kind in columns.items()])
    fields = [pl.concat_str(pl.col(name).str.len_bytes(), pl.lit(":"), pl.col(name)).fill_null("-") for name in columns]
    found: list[bytes] = texts.select(pl.concat_str(fields, separator=",").cast(pl.Binary)).to_series().to_list()
    return found


def text_of(values: pl.Series, kind: ColumnType) -> pl.Series:
    """The texts that stand for values of this type in a line."""
    if kind == "decimal":
        texts = values.cast(pl.String)
        fraction = texts.str.strip_chars_end("0").str.strip_chars_end(".")
        return fraction.zip_with(texts.str.contains(".", literal=True), texts)
    if kind == "float64":
        one = pl.when(pl.col("v") == 0).then(0.0).when(pl.col("v").is_nan()).then(float("nan")).otherwise(pl.col("v"))
        bits = pl.DataFrame({"v": values}).select(one.reinterpret(dtype=pl.UInt64).cast(pl.String))
        return bits.to_series()
    if kind == "bool":
        return values.cast(pl.String)
    if kind in ("date", "timestamp"):
        return values.to_physical().cast(pl.String)
    if kind == "binary":
        return values.bin.encode("hex")
    return values.cast(pl.String)
