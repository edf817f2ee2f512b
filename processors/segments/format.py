"""A segment: rows of one table and run, sorted by key hash, in small sealed blocks behind a sealed index.

A point read opens the block it needs; a walk opens each block once. Nothing in a segment can be read without the
key of its run: not the rows, not the hashes, not even the names of the columns. Immutable.
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import orjson
import polars as pl
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from processors.segments.blocks import Block, chosen, together
from processors.segments.sieve import Hashes, Sieve
from schemas.columns import HASH
from schemas.errors import Fatal
from schemas.narrow import Narrow, narrow, texts_of

MAGIC = b"MSG2"
_EARLIER = b"MSG1"
_LENGTH = struct.Struct("<4sI")
_SIZE = struct.Struct("<I")
_NONCE = 12
_TAG = 16
_CODEC = pa.Codec("lz4_raw")
_BLOCK_BYTES = 256 << 10  # of a block, where its rows are so wide that fewer of them are more

Read = Callable[[int, int], bytes]  # (offset, length) -> bytes


def _seal(cipher: AESGCM, payload: bytes | memoryview) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, payload, MAGIC)


def _unseal(cipher: AESGCM, sealed: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], MAGIC)
    except InvalidTag as error:
        raise Fatal("a segment does not open under the key of its run") from error


def _pack(rows: pa.Buffer, texts: Sequence[pa.Buffer]) -> bytes:
    """Sizes first, then what they tell of: all but the first are those of the texts."""
    plain = b"".join([struct.pack(f"<{1 + len(texts)}I", rows.size, *(t.size for t in texts)), rows, *texts])
    packed: bytes = _CODEC.compress(plain, asbytes=True)
    return _SIZE.pack(len(plain)) + packed


def _unpack(packed: bytes, schema: pa.Schema, texts: int) -> tuple[pa.RecordBatch, list[pa.Buffer]]:
    (size,) = _SIZE.unpack_from(packed)
    plain = _CODEC.decompress(memoryview(packed)[_SIZE.size :], decompressed_size=size)
    sizes = struct.unpack_from(f"<{1 + texts}I", plain)
    at = _SIZE.size * len(sizes)
    pieces = []
    for length in sizes:
        pieces.append(plain.slice(at, length))
        at += length
    return pa.ipc.read_record_batch(pieces[0], schema), pieces[1:]


def _sealed_size(rows: int) -> int:
    """Of the hashes of so many rows: nonce, eight bytes each, tag."""
    return _NONCE + 8 * rows + _TAG


def _block_rows(rows: int, block_rows: int) -> list[int]:
    return [min(block_rows, rows - start) for start in range(0, rows, block_rows)]


def build(frame: pl.DataFrame, key: bytes, block_rows: int = 1024) -> bytes:
    """`frame` has the column `_h` and is sorted by it. No block has more than `block_rows`."""
    return build_parts(frame, [0, frame.height], key, block_rows)[0]


def build_parts(frame: pl.DataFrame, bounds: Sequence[int], key: bytes, block_rows: int = 1024) -> list[bytes]:
    """A segment of the rows between each two bounds; all are narrowed at once, and alike."""
    cipher = AESGCM(key)
    hashes = frame.get_column(HASH).to_numpy()
    rows = narrow(frame.drop(HASH))
    schema = base64.b64encode(rows.fixed.schema.serialize()).decode()
    return [_segment(rows, hashes, schema, start, stop, cipher, block_rows) for start, stop in pairwise(bounds)]


def _segment(
    rows: Narrow, hashes: Hashes, schema: str, start: int, stop: int, cipher: AESGCM, block_rows: int
) -> bytes:
    height = stop - start
    size = rows.fixed.slice(start, height).nbytes + sum(text.between(start, stop).size for text in rows.texts)
    block_rows = max(1, min(block_rows, _BLOCK_BYTES * height // max(1, size)))
    ends = [min(first + block_rows, stop) for first in range(start, stop, block_rows)]
    spans = list(pairwise([start, *ends]))
    blocks = [_seal(cipher, _block(rows, *span)) for span in spans]
    pieces = [_seal(cipher, hashes[first:end].tobytes()) for first, end in spans]
    header = {
        "rows": height,
        "bytes": size,
        "block_rows": block_rows,
        "schema": schema,
        "firsts": hashes[start:stop:block_rows].tolist(),
        "sizes": [len(block) for block in blocks],
    }
    sealed = _seal(cipher, orjson.dumps(header))
    return b"".join([_LENGTH.pack(MAGIC, len(sealed)), sealed, *pieces, *blocks])


def _block(rows: Narrow, start: int, stop: int) -> bytes:
    return _pack(rows.fixed.slice(start, stop - start).serialize(), [text.between(start, stop) for text in rows.texts])


@dataclass
class Segment:
    """An opened segment; `read` gives its bytes, from memory or from a file."""

    rows: int
    size: int  # of all rows, narrowed and not packed
    block_rows: int
    firsts: Hashes
    _layout: str
    _schema: pa.Schema
    _texts: tuple[int, ...]
    _offsets: list[int]
    _sizes: list[int]
    _hashes_at: int
    _cipher: AESGCM = field(repr=False)
    _read: Read = field(repr=False)
    _hashes: Hashes | None = field(default=None, repr=False)
    _sieve: Sieve | None = field(default=None, repr=False)  # of hashes that are kept

    @property
    def blocks(self) -> int:
        return len(self._sizes)

    def hashes(self, keep: bool = False) -> Hashes:
        """All hashes, sorted. `keep` holds them in memory for point reads."""
        if self._hashes is not None:
            return self._hashes
        width = self._piece
        sealed = self._read(self._hashes_at, self.blocks * width)  # the last piece may be shorter; what follows is cut
        plain = [
            _unseal(self._cipher, sealed[i * width : i * width + _sealed_size(self._rows_in(i))])
            for i in range(self.blocks)
        ]
        found = np.frombuffer(b"".join(plain), dtype=np.uint64)
        if keep:
            self._hashes = found
        return found

    @property
    def _piece(self) -> int:
        """The length of the sealed hashes of one full block."""
        return _sealed_size(self.block_rows)

    def _rows_in(self, number: int) -> int:
        return min(self.block_rows, self.rows - number * self.block_rows)

    def _hashes_of(self, number: int) -> Hashes:
        if self._hashes is not None:
            return self._hashes[number * self.block_rows : (number + 1) * self.block_rows]
        sealed = self._read(self._hashes_at + number * self._piece, _sealed_size(self._rows_in(number)))
        return np.frombuffer(_unseal(self._cipher, sealed), dtype=np.uint64)

    def block(self, number: int) -> Block:
        payload = _unseal(self._cipher, self._read(self._offsets[number], self._sizes[number]))
        fixed, texts = _unpack(payload, self._schema, len(self._texts))
        return Block(fixed, texts, self._hashes_of(number), self._layout, self._texts)

    def blocks_for(self, wanted: Hashes) -> list[int]:
        """The blocks in which rows with one of the wanted (sorted) hashes stand."""
        mine = self.hashes(keep=True)
        if self._sieve is None:
            self._sieve = Sieve(mine)
        wanted = self._sieve.pass_on(wanted)
        first = np.searchsorted(mine, wanted, side="left")
        present = mine[np.minimum(first, len(mine) - 1)] == wanted if len(mine) else np.zeros(len(wanted), dtype=bool)
        if not present.any():
            return []
        first = first[present]
        last = np.searchsorted(mine, wanted[present], side="right") - 1
        numbers: set[int] = set()
        for start, end in zip((first // self.block_rows).tolist(), (last // self.block_rows).tolist(), strict=True):
            numbers.update(range(start, end + 1))
        return sorted(numbers)

    def near(self, wanted: Hashes) -> Iterator[Block]:
        """The blocks in which wanted rows stand, whole."""
        return map(self.block, self.blocks_for(wanted))

    def all(self) -> pl.DataFrame | None:
        return together(map(self.block, range(self.blocks)))


def lookup(segments: Sequence[Segment], wanted: Hashes) -> pl.DataFrame | None:
    """The rows of several segments of one table whose hash is wanted (sorted), by hash; None where there is none."""
    near = [block for segment in segments for block in segment.near(wanted)]
    if not near:
        return None
    return chosen(near, lambda hashes: wanted[np.searchsorted(wanted[:-1], hashes)] == hashes)


def open_segment(read: Read, key: bytes) -> Segment:
    magic, length = _LENGTH.unpack(read(0, _LENGTH.size))
    if magic == _EARLIER:
        raise Fatal("a segment was written by an earlier version of metal: start its run again")
    if magic != MAGIC:
        raise Fatal("what should be a segment is something else")
    cipher = AESGCM(key)
    header = orjson.loads(_unseal(cipher, read(_LENGTH.size, length)))
    at = _LENGTH.size + length
    hashes_at = at
    offsets: list[int] = []
    at += sum(_sealed_size(rows) for rows in _block_rows(header["rows"], header["block_rows"]))
    for size in header["sizes"]:
        offsets.append(at)
        at += size
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(header["schema"])))
    return Segment(
        rows=header["rows"],
        size=header["bytes"],
        block_rows=header["block_rows"],
        firsts=np.array(header["firsts"], dtype=np.uint64),
        _schema=schema,
        _layout=header["schema"],
        _texts=texts_of(schema),
        _offsets=offsets,
        _sizes=header["sizes"],
        _hashes_at=hashes_at,
        _cipher=cipher,
        _read=read,
    )


def from_bytes(payload: bytes, key: bytes) -> Segment:
    return open_segment(lambda offset, length: payload[offset : offset + length], key)


def wanted(frames: Sequence[pl.DataFrame]) -> Hashes:
    """The distinct hashes of the frames, sorted."""
    parts = [frame.get_column(HASH).to_numpy() for frame in frames]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.uint64)
