"""Inputs over local files: plain, compressed and in other encodings.

A compressed or re-encoded file can only be read forwards: reading before the present place starts again
from its beginning, which costs time and no memory.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePath
from typing import IO, Annotated, Final, cast

import pyarrow as pa
from pydantic import AfterValidator

from connectors.sources.formats.window import Input
from schemas.errors import Fatal

BLOCK: Final = 1 << 20
COMPRESSED: Final = {".gz": "gzip", ".zst": "zstd", ".lz4": "lz4", ".bz2": "bz2", ".xz": "xz"}
UTF8: Final = frozenset({"utf-8", "utf-8-sig", "ascii"})


def _known(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding)
        found.decode(b"")
    except (LookupError, TypeError) as error:
        raise ValueError(f"{encoding} is no encoding of text") from error
    return found.name


Encoding = Annotated[str, AfterValidator(_known)]


class FileInput:
    """A plain file, read in place."""

    at_hand = True

    def __init__(self, path: Path, label: str) -> None:
        self.label = label
        self._file = os.open(path, os.O_RDONLY)

    def read(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._file, size, offset)
        except OSError as error:
            raise Fatal(f"{self.label} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class ForwardInput:
    """Bytes of a stream that can only be read forwards; `start` opens it anew."""

    at_hand = False

    def __init__(self, start: Callable[[], Iterator[bytes]], label: str) -> None:
        self.label = label
        self._start = start
        self._stream = start()
        self._held = b""
        self._base = 0

    def read(self, offset: int, size: int) -> bytes:
        if offset < self._base:
            self._stream, self._held, self._base = self._start(), b"", 0
        while self._base + len(self._held) <= offset:
            self._base += len(self._held)
            self._held = next(self._stream, b"")
            if not self._held:
                return b""
        return self._held[offset - self._base :][:size]

    def close(self) -> None:
        self._stream = iter(())


def unpacked(name: str, plain: Callable[[], Input], opener: Callable[[], IO[bytes]], encoding: str) -> Input:
    """The content as UTF-8, decompressed by the name's extension; `plain` if it is so already."""
    compression = COMPRESSED.get(PurePath(name).suffix.lower())
    if compression is None and encoding in UTF8:
        return plain()

    def start() -> Iterator[bytes]:
        blocks = _blocks(opener, compression, name)
        return blocks if encoding in UTF8 else transcode(blocks, encoding, name)

    return ForwardInput(start, name)


@contextmanager
def opened(path: Path, label: str, encoding: str = "utf-8") -> Iterator[Input]:
    """A local file's content, closed at the end."""
    try:
        source = unpacked(label, lambda: FileInput(path, label), lambda: path.open("rb"), encoding)
    except OSError as error:
        raise Fatal(f"{label} cannot be opened: {error.strerror}") from error
    with closing(source):
        yield source


def transcode(blocks: Iterator[bytes], encoding: str, label: str) -> Iterator[bytes]:
    """UTF-8 of text in another encoding. Half a surrogate pair stays invalid, for the record that has it."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if encoding.startswith("utf") else "strict")
    place = 0
    try:
        for block in blocks:
            text = decoder.decode(block)
            if text:
                yield text.encode("utf-8", "surrogatepass")
            place += len(block)
        yield from filter(None, [decoder.decode(b"", True).encode("utf-8", "surrogatepass")])
    except UnicodeDecodeError as error:
        raise Fatal(f"{label} is not valid {encoding} near byte {place + error.start}") from error


def _blocks(opener: Callable[[], IO[bytes]], compression: str | None, label: str) -> Iterator[bytes]:
    try:
        with opener() as packed, _decompressed(packed, compression) as file:
            while block := file.read(BLOCK):
                yield block
    except (EOFError, OSError, lzma.LZMAError, zlib.error, pa.ArrowException) as error:
        what = "read" if compression is None else f"decompressed as {compression}"
        raise Fatal(f"{label} cannot be {what}: {error}") from error


def _decompressed(file: IO[bytes], compression: str | None) -> IO[bytes]:
    match compression:
        case None:
            return file
        case "gzip":
            return cast(IO[bytes], gzip.open(file, "rb"))
        case "bz2":
            return cast(IO[bytes], bz2.open(file, "rb"))
        case "xz":
            return cast(IO[bytes], lzma.open(file, "rb"))
        case _:
            return cast(IO[bytes], pa.input_stream(file, compression=compression))
