"""Keyed pseudo-random functions over whole columns: the only origin of randomness in anonymization.

Always holds: what comes out depends on the run's key, a label and the values alone, so a replayed batch comes
out the same, and nothing comes back once the key is destroyed. Every purpose has a subkey of its own
(HMAC-SHA256 of unambiguous labels). Knows no method, clock or generator.

Texts go through CBC-MAC with AES-256 over a prefix-free encoding (the length is the first block), which is a
pseudo-random function on texts of any length (Bellare, Kilian, Rogaway 1994; Petrank, Rackoff 2000). It is computed
for a column at a time: block j of every text of the same length class is one call of the cipher.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_BYTES = 32
BLOCK = 16
LONG = 512  # texts of more bytes stand in by their SHA-512, so that one huge value doesn't hold up a batch
DIGESTED = 1 << 63  # in the first block: a digest, which no text of 64 bytes can be taken for


def subkey(key: bytes, *labels: str) -> bytes:
    """The key of one purpose; different lists of labels give independent keys."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a run's key has {KEY_BYTES} bytes")
    parts = (label.encode() for label in labels)
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(key, message, "sha256")


def words(key: bytes, high: pl.Series, low: pl.Series | int = 0) -> tuple[pl.Series, pl.Series]:
    """AES of the 16-byte blocks (high, low), as two series of UInt64."""
    if len(high) == 0:
        return pl.Series([], dtype=pl.UInt64), pl.Series([], dtype=pl.UInt64)
    second = pl.lit(low, dtype=pl.UInt64) if isinstance(low, int) else pl.lit(low)
    pairs = high.to_frame("high").select(pl.concat_arr("high", second)).to_series().rechunk().to_arrow()
    buffer = pairs.flatten().buffers()[1].to_pybytes()
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  a bare permutation is what a PRF needs
    sealed = pa.py_buffer(cipher.update(buffer))
    series = pl.Series("w", pa.Array.from_buffers(pa.uint64(), 2 * len(high), [None, sealed]))
    return series.gather_every(2), series.gather_every(2, 1)


def macs(key: bytes, texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """128 pseudo-random bits of each text, as two series of UInt64; a null is taken as the empty text."""
    frame = pl.DataFrame({"text": texts.cast(pl.String).fill_null("")}).with_row_index("row")
    frame = frame.with_columns(head=pl.col("text").str.len_bytes().cast(pl.UInt64))
    if frame.select((pl.col("head") > LONG).any()).item():
        frame = _digest_long(frame)
    size = pl.col("text").str.len_bytes()
    parts = frame.with_columns(blocks=(size + BLOCK - 1) // BLOCK).partition_by("blocks", as_dict=True)
    chained = [_chain(key, part, int(blocks)) for (blocks,), part in parts.items()]
    if not chained:
        return words(key, pl.Series([], dtype=pl.UInt64))
    whole = chained[0] if len(chained) == 1 else pl.concat(chained).sort("row")
    return whole["high"], whole["low"]


def hexadecimal(high: pl.Series, low: pl.Series) -> pl.Series:
    """The 128 bits as 32 hexadecimal digits."""
    if len(high) == 0:
        return pl.Series([], dtype=pl.String)
    pairs = pl.DataFrame({"a": high, "b": low}).select(pl.concat_arr("a", "b")).to_series().rechunk().to_arrow()
    raw = pa.Array.from_buffers(pa.binary(BLOCK), len(high), [None, pairs.flatten().buffers()[1]])
    return pl.Series("hex", raw).bin.encode("hex")


def _digest_long(frame: pl.DataFrame) -> pl.DataFrame:
    """Texts of more than LONG bytes as the hexadecimal SHA-512 of theirs, marked as such."""
    long = frame.filter(pl.col("head") > LONG)
    digests = [hashlib.sha512(text.encode()).hexdigest() for text in long["text"]]
    marked = long.with_columns(text=pl.Series(digests), head=pl.col("head") | pl.lit(DIGESTED, dtype=pl.UInt64))
    return pl.concat([frame.filter(pl.col("head") <= LONG), marked]).sort("row")


def _chain(key: bytes, part: pl.DataFrame, blocks: int) -> pl.DataFrame:
    """CBC-MAC of texts that all have this many blocks."""
    padded = pl.concat_str("text", pl.lit("\0" * BLOCK)).cast(pl.Binary)
    plain = part.select(padded.alias("padded")).select(
        pl.col("padded").bin.slice(8 * i, 8).bin.reinterpret(dtype=pl.UInt64, endianness="little").alias(f"w{i}")
        for i in range(2 * blocks)
    )
    high, low = words(key, part["head"])
    for j in range(blocks):
        high, low = words(key, high ^ plain[f"w{2 * j}"], low ^ plain[f"w{2 * j + 1}"])
    return pl.DataFrame({"row": part["row"], "high": high, "low": low})


@dataclass(frozen=True)
class Draw:
    """Random numbers of one column of one table, tied to the records' identities."""

    key: bytes
    table: str
    identities: pl.Series  # Int64

    def bits(self, purpose: str, column: str, block: int = 0) -> tuple[pl.Series, pl.Series]:
        """128 bits for each record."""
        own = subkey(self.key, purpose, self.table, column)
        return words(own, self.identities.reinterpret(signed=False), block)

    def uniform(self, purpose: str, column: str, block: int = 0) -> tuple[pl.Series, pl.Series]:
        """Two independent numbers for each record, each uniform on the open interval from 0 to 1."""
        high, low = self.bits(purpose, column, block)
        return _unit(high), _unit(low)


def _unit(bits: pl.Series) -> pl.Series:
    """53 bits as a number strictly between 0 and 1."""
    # 52 bits and a half: the largest stays below 1 after rounding
    return ((bits // (1 << 12)).cast(pl.Float64) + 0.5) * 2.0**-52
