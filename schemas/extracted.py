"""What a source's batch carries: the rows that could be read, and the records that could not, sealed together."""

from __future__ import annotations

import struct

import polars as pl

from schemas import batch, sealing

_LENGTH = struct.Struct("<I")


def seal(frame: pl.DataFrame, rejects: pl.DataFrame, key: bytes) -> bytes:
    rows = batch.encode(frame) if frame.height else b""
    bad = batch.encode(rejects) if rejects.height else b""
    return sealing.seal(key, b"".join([_LENGTH.pack(len(rows)), rows, bad]))


def unseal(payload: bytes, key: bytes) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
    """(rows, rejects); None where there are none."""
    plain = memoryview(sealing.unseal(key, payload))
    (length,) = _LENGTH.unpack_from(plain)
    rows = plain[_LENGTH.size : _LENGTH.size + length]
    bad = plain[_LENGTH.size + length :]
    return (batch.decode(rows) if len(rows) else None), (batch.decode(bad) if len(bad) else None)
