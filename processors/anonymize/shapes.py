"""The shapes of texts, and characters as numbers: what a keyed permutation that keeps forms has to know of a column.

A digit, a small and a capital letter are of a class each, all other characters stand for themselves. A text's
shape has the first of its class for each character. Always holds: what is told of a text follows from it alone,
whatever stands beside it. Knows no key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

SMALLEST: Final = 10**6  # texts of a shape; what FF1 asks for
PACKED: Final = 8  # characters of a number: 26^8 fits well into 64 bits
COMMON: Final = 8_192  # texts of one sequence of classes that are worth a pass of their own

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Size = Any  # how many values a part of a text can have: a whole number, or an array of them, one to a text
_RANGES: Final = ((ord("0"), 10), (ord("a"), 26), (ord("A"), 26))
_RADIX = np.ones(256, dtype=np.uint8)
_BASE = np.arange(256, dtype=np.uint8)  # of a character of no class: itself, which makes it the shape's, too
for _first, _count in _RANGES:
    _RADIX[_first : _first + _count] = _count
    _BASE[_first : _first + _count] = _first
BASE: Final = _BASE.tobytes()
RADIX: Final = _RADIX.tobytes()
VARIES: Final = (_RADIX > 1).astype(np.uint8).tobytes()
SEPARATORS: Final = bytes(np.flatnonzero(_RADIX == 1).tolist())
_TYPES: Final = (np.uint16, np.uint32, np.uint64)  # of 2, 4 and 8 characters as one number


@dataclass(frozen=True)
class Texts:
    """The bytes of texts one after the other, and where each begins; the last of the ends is that of all."""

    data: bytes
    ends: Ints

    @staticmethod
    def of(texts: pl.Series) -> Texts:
        array = texts.rechunk().cast(pl.Binary).to_arrow().cast(pa.large_binary())
        if not len(array):
            return Texts(b"", np.zeros(1, dtype=np.int64))
        ends = np.frombuffer(array.buffers()[1], dtype=np.int64)[array.offset : array.offset + len(array) + 1]
        return Texts(bytes(memoryview(array.buffers()[2])[int(ends[0]) : int(ends[-1])]), ends - ends[0])

    def __len__(self) -> int:
        return len(self.ends) - 1

    def translated(self, table: bytes, without: bytes = b"") -> Bytes:
        """The bytes by a table, those that are left out aside."""
        return np.frombuffer(self.data.translate(table, without), dtype=np.uint8)

    def varying(self) -> Ints:
        """How many characters of each text are of a class."""
        before = np.zeros(len(self.data) + 1, dtype=np.int64)
        np.cumsum(self.translated(VARIES), out=before[1:])
        return np.diff(before[self.ends])

    def like(self, data: Bytes) -> pa.Array:
        """Texts of the same sizes, made of other bytes."""
        return pa.Array.from_buffers(pa.large_string(), len(self), [None, pa.py_buffer(self.ends), pa.py_buffer(data)])


class Shapes:
    """The shapes of texts, each looked at once: many texts have the same, and many differ in separators alone."""

    def __init__(self, texts: Texts) -> None:
        self.each, self.of_text = _told_apart(texts, texts.translated(BASE))
        shapes = Texts.of(self.each)
        counts = shapes.varying()
        bare = Texts(shapes.data.translate(None, SEPARATORS), np.concatenate([[0], np.cumsum(counts)]))
        classes, of_shape = _told_apart(bare, np.frombuffer(bare.data, dtype=np.uint8))
        self._classes: Ints = of_shape[self.of_text]
        each = Texts.of(classes)
        counts = np.diff(each.ends)
        self._radices = windows(each.translated(RADIX), counts, int(counts.max(initial=0)), 1)
        blocks = [-(-half // (2 * PACKED)) for half in (-(-counts // 2), counts // 2)]
        large = np.log(self._radices, dtype=np.float64).sum(axis=1) >= np.log(SMALLEST) - 1e-9
        self._kind: Ints = np.where(large, 1 + blocks[0] + (blocks[1] << 8), 0)

    def groups(self) -> Iterator[tuple[Ints, Any]]:
        """Places of texts that one network can permute together, and their radices.

        These are a list of numbers if all texts have the same, else an array, 1 behind a text's end; None if the shapes
        have too few texts.
        """
        counted = np.bincount(self._classes, minlength=len(self._kind))
        for kind in np.unique(self._kind):
            alike = self._kind == kind
            if not kind:
                yield np.flatnonzero(alike[self._classes]), None
                continue
            # texts of a frequent sequence of classes by themselves: what is the same for all is reckoned with faster
            most = counted[alike].sum()
            for one in np.flatnonzero(alike & (counted >= min(COMMON, most))):
                yield np.flatnonzero(self._classes == one), [int(size) for size in self._radices[one] if size > 1]
                alike[one] = False
            if alike.any():
                own = np.flatnonzero(alike[self._classes])
                width = int((self._radices[alike].max(axis=0) > 1).sum())
                yield own, self._radices[self._classes[own], :width]


def _told_apart(texts: Texts, data: Bytes) -> tuple[pl.Series, Ints]:
    """Texts of the same sizes made of other bytes: each once, and which one every text has become."""
    size = int(texts.ends[1]) if len(texts) else 0
    if len(data) == size * len(texts):
        rows = data.reshape(len(texts), size)
        if (np.diff(texts.ends) == size).all() and (rows == rows[:1]).all():
            return pl.Series([bytes(rows[0]).decode()]), np.zeros(len(texts), dtype=np.int32)
    found = texts.like(data).dictionary_encode()
    return pl.Series(found.dictionary), found.indices.to_numpy()


def windows(values: Bytes, counts: Ints, width: int, behind: int) -> Bytes:
    """A row for each text: so many of the values that stand one after the other, filled up behind its end."""
    if not width or not len(counts):
        return np.full((len(counts), width), behind, dtype=np.uint8)
    padded = np.concatenate([values, np.zeros(width, dtype=np.uint8)])
    pieces = np.ndarray((len(values) + 1,), dtype=f"V{width}", buffer=padded.data, strides=(1,))
    rows = pieces[np.cumsum(counts) - counts].view(np.uint8).reshape(-1, width)
    return np.where(np.arange(width) < counts[:, None], rows, np.uint8(behind))


class Number:
    """Characters of many texts as one number each, packed by twos, so that most of the work is on narrow integers."""

    def __init__(self, characters: list[Bytes], radices: list[Size]) -> None:
        self._below: list[list[Size]] = []
        parts: list[Any] = characters
        for kind in _TYPES:
            if len(parts) == 1:
                break
            self._below.append(radices)
            parts, radices = _joined(parts, radices, kind)
        self.value: Words = parts[0].astype(np.uint64)
        self.size: Size = radices[0] if isinstance(radices[0], int) else radices[0].astype(np.uint64)

    def characters(self) -> list[Bytes]:
        """The characters of the value as it is now."""
        parts: list[Any] = [self.value]
        for radices, kind in zip(reversed(self._below), _narrower(len(self._below)), strict=True):
            parts = _split(parts, radices, kind)
        return [part.astype(np.uint8) for part in parts]


def _narrower(levels: int) -> list[Any]:
    return [np.uint8, *_TYPES][:levels][::-1]


def _joined(parts: list[Any], radices: list[Size], kind: Any) -> tuple[list[Any], list[Size]]:
    joined, sizes = [], []
    for i in range(0, len(parts) - 1, 2):
        radix = radices[i + 1]
        value = np.multiply(parts[i], radix, dtype=kind)
        value += parts[i + 1]
        joined.append(value)
        both = isinstance(radices[i], int) and isinstance(radix, int)
        sizes.append(radices[i] * radix if both else np.multiply(radices[i], radix, dtype=kind))
    rest = slice(len(parts) - len(parts) % 2, None)
    return [*joined, *parts[rest]], [*sizes, *radices[rest]]


def _split(parts: list[Any], radices: list[Size], kind: Any) -> list[Any]:
    found: list[Any] = []
    for part, radix in zip(parts, radices[1::2], strict=False):
        above = _divided(part, radix)
        part = part - above * (part.dtype.type(radix) if isinstance(radix, int) else radix)
        found += [above.astype(kind), part.astype(kind)]
    return [*found, *parts[len(radices) // 2 :]]


def _divided(part: Any, radix: Size) -> Any:
    """Rounded down. Numbers of four characters are exact as float32, and so is the whole part of what comes out."""
    if isinstance(radix, int):
        return part // part.dtype.type(radix)
    if part.dtype == np.uint64:
        return part // radix
    return (part.astype(np.float32) / radix.astype(np.float32)).astype(part.dtype)
