"""What a source's batch carries: the rows that could be read, and the records that could not, sealed together."""

from __future__ import annotations

import struct
from typing import NamedTuple

import polars as pl

from schemas import batch, sealing

_LENGTH = struct.Struct("<I")


def seal(frame: pl.DataFrame, rejects: pl.DataFrame, key: bytes) -> bytes:
    rows = batch.encode(frame) if frame.height else b""
    bad = batch.encode(rejects) if rejects.height else b""
    return sealing.seal(key, b"".join([_LENGTH.pack(len(rows)), rows, bad]))


class Extracted(NamedTuple):
    rows: pl.DataFrame | None
    rejects: pl.DataFrame | None
    nul: bool  # whether a text of the rows may hold U+0000


def unseal(payload: bytes, key: bytes) -> Extracted:
    """None where there are none."""
    plain = memoryview(sealing.unseal(key, payload))
    (length,) = _LENGTH.unpack_from(plain)
    rows, bad = plain[_LENGTH.size : _LENGTH.size + length], plain[_LENGTH.size + length :]
    rejects = batch.decode(bad) if len(bad) else None
    if not len(rows):
        return Extracted(None, rejects, False)
    table = batch.table_of(rows)
    return Extracted(batch.frame_of(table), rejects, batch.holds_nul(table))
