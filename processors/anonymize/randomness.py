"""Keyed pseudo-random functions over whole columns: the only origin of randomness in anonymization.

Always holds: what comes out depends on the run's key, a label and the values alone, so a replayed batch comes
out the same, and nothing comes back once the key is destroyed. Every purpose has a subkey of its own
(HMAC-SHA256 of unambiguous labels). Knows no method, clock or generator.

Texts go through CBC-MAC with AES-256 over a prefix-free encoding (the length is the first block), which is a
pseudo-random function on texts of any length (Bellare, Kilian, Rogaway 1994; Petrank, Rackoff 2000). It is computed
for a column at a time: block j of every text that has one is one call of the cipher.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from processors.anonymize.text import text_of_matrix
from schemas.tokens import digits

KEY_BYTES = 32
BLOCK = 16
Words = npt.NDArray[np.uint64]  # a row of two to each block
_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], dtype=np.uint64)  # the first bytes of a word
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
    """AES-256 of 16-byte blocks, each a row of two words."""

    def __init__(self, key: bytes) -> None:
        # a bare permutation of single blocks is what a pseudo-random function is built from
        self._cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305

    def __call__(self, blocks: Words) -> Words:
        return np.frombuffer(self._cipher.update(blocks.tobytes()), dtype="<u8").reshape(-1, 2)


def words(key: bytes, high: pl.Series, low: int = 0) -> tuple[pl.Series, pl.Series]:
    """AES of the 16-byte blocks (high, low), as two series of UInt64."""
    blocks = Permutation(key)(_beside(high.to_numpy(), low))
    return pl.Series("high", blocks[:, 0]), pl.Series("low", blocks[:, 1])


def macs(key: bytes, texts: pl.Series) -> Words:
    """128 pseudo-random bits of each text; a null is taken as the empty text."""
    content = _Content(texts.cast(pl.String).fill_null(""))
    permute = Permutation(key)
    blocks = -(-content.lengths // BLOCK)
    found = np.empty((len(blocks), 2), dtype="<u8")
    for count in np.flatnonzero(np.bincount(blocks)).tolist():
        rows = np.flatnonzero(blocks == count)
        state = permute(_beside(content.heads[rows], 0))
        for j in range(count):
            state = permute(state ^ content.block(j, rows, last=j == count - 1))
        found[rows] = state
    return found


def hexadecimal(blocks: Words, prefix: str = "") -> pl.Series:
    """Each block as 32 hexadecimal digits behind a prefix."""
    return text_of_matrix(digits(bytes_of(blocks), prefix))


def bytes_of(blocks: Words) -> npt.NDArray[np.uint8]:
    """A row of sixteen to each block."""
    return np.ascontiguousarray(blocks).view(np.uint8)


class _Content:
    """The bytes of texts as words, zeros behind the end of each; long texts stand in by a digest, marked as such."""

    def __init__(self, texts: pl.Series) -> None:
        sizes = texts.str.len_bytes().to_numpy()
        self.heads = sizes.astype(np.uint64)
        long = np.flatnonzero(sizes > LONG)
        if len(long):
            digests = [hashlib.sha512(text.encode()).hexdigest() for text in texts.gather(long)]
            texts = texts.scatter(long, pl.Series(digests))
            self.heads[long] |= np.uint64(DIGESTED)
        array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        offsets = np.frombuffer(array.buffers()[1], np.int64, len(array) + 1, 8 * array.offset)
        data = np.zeros(int(offsets[-1] - offsets[0]) + 2 * BLOCK, dtype=np.uint8)
        if offsets[-1] > offsets[0]:
            own = np.frombuffer(array.buffers()[2], np.uint8)
            data[: -2 * BLOCK] = own[offsets[0] : offsets[-1]]
        self.lengths = np.diff(offsets)
        self._starts = offsets[:-1] - offsets[0]
        # Every byte begins a word here, so that the words of a text are picked wherever it begins.
        self._words = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))

    def block(self, number: int, rows: npt.NDArray[np.int64], last: bool) -> Words:
        at = self._starts[rows] + BLOCK * number
        high, low = self._words[at], self._words[at + 8]
        if last:
            left = self.lengths[rows] - BLOCK * number
            high, low = high & _MASKS[np.minimum(left, 8)], low & _MASKS[np.maximum(left - 8, 0)]
        return _beside(high, low)


def _beside(high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64] | int) -> Words:
    blocks = np.empty((len(high), 2), dtype="<u8")
    blocks[:, 0], blocks[:, 1] = high, low
    return blocks


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
