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


class Permutation:
    """AES-256 of 16-byte blocks, which lie in a series of UInt64, two to a block."""

    def __init__(self, key: bytes) -> None:
        # a bare permutation of single blocks is what a pseudo-random function is built from
        self._cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305

    def __call__(self, blocks: pl.Series) -> pl.Series:
        if not len(blocks):
            return blocks
        array = blocks.rechunk().to_arrow()
        plain = array.buffers()[1].slice(8 * array.offset, 8 * len(array)).to_pybytes()
        sealed = pa.py_buffer(self._cipher.update(plain))
        return pl.Series("blocks", pa.Array.from_buffers(pa.uint64(), len(blocks), [None, sealed]))


def words(key: bytes, high: pl.Series, low: int = 0) -> tuple[pl.Series, pl.Series]:
    """AES of the 16-byte blocks (high, low), as two series of UInt64."""
    blocks = Permutation(key)(_blocks(high.to_frame("high"), pl.col("high"), pl.lit(low, dtype=pl.UInt64)))
    return blocks.gather_every(2), blocks.gather_every(2, 1)


def macs(key: bytes, texts: pl.Series) -> pl.Series:
    """128 pseudo-random bits of each text, two UInt64 to a text; a null is taken as the empty text."""
    frame = pl.DataFrame({"text": texts.cast(pl.String).fill_null("")})
    frame = frame.with_columns(head=pl.col("text").str.len_bytes().cast(pl.UInt64))
    if frame.select((pl.col("head") > LONG).any()).item():
        frame = _digest_long(frame.with_row_index("row")).sort("row").drop("row")
    counts = frame.select((pl.col("text").str.len_bytes() + BLOCK - 1) // BLOCK).to_series()
    classes = counts.unique().sort()
    if len(classes) == 1:
        return _chain(key, frame, classes[0])
    rows = [(counts == blocks).arg_true() for blocks in classes]
    chained = [_chain(key, frame[own], blocks) for own, blocks in zip(rows, classes, strict=True)]
    if not chained:
        return pl.Series([], dtype=pl.UInt64)
    back = pl.concat(rows).arg_sort()
    return pl.concat(chained).reshape((-1, 2)).gather(back).reshape((-1,))


def hexadecimal(blocks: pl.Series) -> pl.Series:
    """Each block as 32 hexadecimal digits."""
    array = blocks.rechunk().to_arrow()
    if not len(array):
        return pl.Series([], dtype=pl.String)
    own = array.buffers()[1].slice(8 * array.offset)
    raw = pa.Array.from_buffers(pa.binary(BLOCK), len(array) // 2, [None, own])
    return pl.Series("hex", raw).bin.encode("hex")


def _blocks(frame: pl.DataFrame, high: pl.Expr, low: pl.Expr) -> pl.Series:
    """The two words of each row one after the other."""
    return frame.select(pl.concat_arr(high, low)).to_series().reshape((-1,))


def _digest_long(frame: pl.DataFrame) -> pl.DataFrame:
    """Texts of more than LONG bytes as the hexadecimal SHA-512 of theirs, marked as such."""
    long = frame.filter(pl.col("head") > LONG)
    digests = [hashlib.sha512(text.encode()).hexdigest() for text in long["text"]]
    marked = long.with_columns(text=pl.Series(digests), head=pl.col("head") | pl.lit(DIGESTED, dtype=pl.UInt64))
    return pl.concat([frame.filter(pl.col("head") <= LONG), marked])


def _chain(key: bytes, part: pl.DataFrame, blocks: int) -> pl.Series:
    """CBC-MAC of texts that all have this many blocks."""
    permute = Permutation(key)
    state = permute(_blocks(part, pl.col("head"), pl.lit(0, dtype=pl.UInt64)))
    padded = pl.concat_str("text", pl.lit("\0" * BLOCK)).cast(pl.Binary)
    plain = part.select(padded.alias("padded"))
    for j in range(blocks):
        state = permute(state ^ _blocks(plain, _word(2 * j), _word(2 * j + 1)))
    return state


def _word(i: int) -> pl.Expr:
    return pl.col("padded").bin.slice(8 * i, 8).bin.reinterpret(dtype=pl.UInt64, endianness="little")


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
    """The upper 52 bits as a number strictly between 0 and 1."""
    # a half is added, which 53 bits hold exactly, so neither 0 nor 1 comes out
    return ((bits // (1 << 12)).cast(pl.Float64) + 0.5) * 2.0**-52
