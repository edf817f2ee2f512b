"""Where the records of a block of delimited text begin and end.

Line ends and quotes are bits, and what is asked of them is how many there are: where each record begins is found out
only if somebody asks. A block with a misplaced quote is walked record by record. Always holds: both ways find the
same records. A record that is malformed ends with its first line, so that one stray quote costs one record and not all
that follow.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.sources.formats.marks import Counted, Numbers, Words, ahead, behind, marks, places, put
from connectors.sources.formats.records import CR, LF, Dialect, Records
from connectors.sources.formats.walked import walk

_NONE: Final = np.empty(0, dtype=np.int64)


def scan(data: bytes, dialect: Dialect, final: bool, limit: int) -> Records:
    """Up to `limit` records; an unfinished one at the end is left alone unless `final`."""
    found = counted(data, dialect, final, limit)
    return walk(data, dialect, final, limit) if found is None else found


def counted(data: bytes, dialect: Dialect, final: bool, limit: int) -> Records | None:
    """None when a quote stands where it does not belong, or is never closed."""
    held = np.frombuffer(data, np.uint8)
    quoting = bool(dialect.quote) and dialect.quote.encode() in data
    quotes = places(marks(held, ord(dialect.quote))) if quoting else _NONE
    if final and len(quotes) % 2 == 1:
        return None
    lines = _Lines(data, held, final)
    among, record, found = _quoted(lines, quotes)
    cut = len(data) if final else (lines.end(found - 1, record) + 1 if found else 0)
    inside = quotes[: np.searchsorted(quotes, cut)]
    if quoting and not (cut and dialect.well_placed(held, inside)):
        return None
    # Blank lines count here and are left out below: the cut depends on the content alone either way.
    limited = found > limit
    found = min(found, limit)
    last = lines.end(found - 1, record) if found else -1
    size, count = min(last + 1, len(data)), int(found and lines.number(found - 1, record) + (last < len(data)))
    among = among[: np.searchsorted(record, found)]
    line = np.arange(found)
    if len(among):
        line[1:] += np.cumsum(np.bincount(record[: len(among)], minlength=found))[:-1]

    def spans() -> tuple[Numbers, Numbers]:
        return lines.spans(among, found)

    if not lines.blank(inside, size):
        return Records(size, count, line, limited, plain=not lines.lone, spans=spans)
    starts, ends = spans()
    full = ends > starts
    starts, ends = starts[full], ends[full]
    return Records(size, count, line[full], limited, plain=False, spans=lambda: (starts, ends))


class _Lines:
    """The last byte of every line end: LF, or a CR that no LF follows. The end of a file ends a line, too."""

    def __init__(self, data: bytes, held: npt.NDArray[np.uint8], final: bool) -> None:
        self._held = held
        ends = self._any = marks(held, LF)
        self.lone = False  # whether a CR may end a line alone
        self._returns = b"\r" in data
        if self._returns:
            returns = marks(held, CR)
            self._any = ends | returns
            alone = returns & ~ahead(ends)
            if not final:  # One that ends the block may be half a line end: it counts once it is known what follows.
                put(alone, len(data) - 1, False)
            self.lone = bool(alone.any())
            ends = ends | alone
        self._last = None if not final or data[-1:] in (b"", b"\n", b"\r") else len(data)
        if self._last is not None:
            ends = ends.copy()
            put(ends, self._last, True)
        self._bits: Words = ends
        self.ends = Counted(ends)

    def number(self, outside: int, record: Numbers) -> int:
        """Of a line end outside quotes its number among all."""
        return outside + int(np.searchsorted(record, outside, side="right"))

    def end(self, outside: int, record: Numbers) -> int:
        """Where it stands."""
        return self.ends.place(self.number(outside, record))

    def blank(self, quotes: Numbers, size: int) -> bool:
        """Whether there is a line of nothing outside quotes."""
        first = behind(self._bits)
        put(first, 0, True)
        empty = first & self._any
        if not len(quotes):  # then the first one tells, and there may be many
            empty = empty[: int((empty != 0).argmax()) + 1]
        found = places(empty)
        return bool((np.searchsorted(quotes, found[found < size]) % 2 == 0).any())

    @cached_property
    def places(self) -> Numbers:
        return places(self._bits)

    def spans(self, among: Numbers, found: int) -> tuple[Numbers, Numbers]:
        """Where records begin and end, without those of their line ends that are within quotes."""
        ends = np.delete(self.places, among)[:found]
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1] + 1
        if self._returns:
            last = self._held[np.maximum(ends - 1, 0)]
            ends = ends - ((last == CR) & (ends > starts))
        return starts, ends


def _quoted(lines: _Lines, quotes: Numbers) -> tuple[Numbers, Numbers, int]:
    """Of each line end within quotes its number among all, and that of the record it stands in; how many are outside.

    A quote that is not closed has all that follows in it, and nothing is told of that. The fewer, quotes or line ends,
    are looked up among the others.
    """
    total = lines.ends.total
    if len(quotes) > total:
        among = np.flatnonzero(np.searchsorted(quotes, lines.places) % 2 == 1)
        return among, among - np.arange(len(among)), total - len(among)
    before = lines.ends.before(quotes)
    if len(quotes) % 2 == 1:
        total = int(before[-1])
        before = before[:-1]
    many = before[1::2] - before[::2]
    every = np.arange(int(many.sum()))
    among = np.repeat(before[::2] - np.cumsum(many) + many, many) + every
    return among, among - every, total - len(among)
