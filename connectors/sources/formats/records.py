"""Where the records of a block of delimited text begin and end.

Works on the positions of quotes and line ends, by column; only a block with a misplaced quote is walked
record by record. Always holds: both ways find the same records. A record that is malformed ends with its first
line, so that one stray quote costs one record and not all that follow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

BOM: Final = b"\xef\xbb\xbf"  # a byte order mark, which is one only where a file begins
LF: Final = 10
CR: Final = 13

UNCLOSED: Final = "a quoted value is never closed"
MISQUOTED: Final = "text follows a closing quote"


@dataclass(frozen=True)
class Dialect:
    delimiter: str = ","
    quote: str = '"'  # empty: quotes mean nothing


@dataclass(frozen=True)
class Broken:
    """A record that cannot be cut into fields."""

    start: int
    end: int
    line: int
    reason: str


@dataclass(frozen=True)
class Records:
    """The whole records of a block, blank lines left out."""

    size: int  # bytes consumed
    lines: int  # line ends consumed
    starts: Numbers  # offsets in the block
    ends: Numbers  # without the line end
    line: Numbers  # of a record's first line, from 0
    limited: bool  # the limit came before the end of the block
    plain: bool  # nothing but LF or CR LF stands between them, and each quote encloses a whole value
    broken: list[Broken] = field(default_factory=list)


def scan(data: bytes, dialect: Dialect, final: bool, limit: int) -> Records:
    """Up to `limit` records; an unfinished one at the end is left alone unless `final`."""
    if dialect.quote and dialect.quote.encode() in data:
        found = _scan_quoted(data, dialect, final, limit)
        return _walk(data, dialect, final, limit) if found is None else found
    ends = _line_ends(data, final)
    return _records(data, ends, np.arange(len(ends.places)), final, limit)


@dataclass(frozen=True)
class LineEnds:
    """Offsets of the last byte of every line end: LF, or a CR that no LF follows."""

    places: Numbers
    returns: bool  # whether there is any CR
    lone: bool  # whether one may end a line alone


def _line_ends(data: bytes, final: bool) -> LineEnds:
    held = np.frombuffer(data, np.uint8)
    feeds = np.flatnonzero(held == LF)
    if b"\r" not in data:
        return LineEnds(feeds, returns=False, lone=False)
    before = held[feeds[1:] - 1] if len(feeds) and feeds[0] == 0 else held[feeds - 1]
    returns = held == CR
    if np.count_nonzero(before == CR) == np.count_nonzero(returns):
        return LineEnds(feeds, returns=True, lone=False)
    # A CR that ends the block may be half a line end: it counts once it is known that nothing follows.
    followed = np.append(held[1:] == LF, not final)
    return LineEnds(np.flatnonzero((held == LF) | (returns & ~followed)), returns=True, lone=True)


def _scan_quoted(data: bytes, dialect: Dialect, final: bool, limit: int) -> Records | None:
    """None when a quote stands where it does not belong, or is never closed."""
    held = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(held == ord(dialect.quote))
    if final and len(quotes) % 2 == 1:
        return None
    ends = _line_ends(data, final)
    outside = np.flatnonzero(_quotes_before(quotes, ends.places) % 2 == 0)
    cut = len(data) if final else (int(ends.places[outside[-1]]) + 1 if len(outside) else 0)
    if cut == 0 or not _well_placed(held, quotes[: np.searchsorted(quotes, cut)], dialect):
        return None
    return _records(data, ends, outside, final, limit)


def _quotes_before(quotes: Numbers, places: Numbers) -> Numbers:
    """How many quotes stand before each place: the fewer are looked up among the more."""
    if len(quotes) > len(places):
        return np.searchsorted(quotes, places)
    return np.cumsum(np.bincount(np.searchsorted(places, quotes), minlength=len(places))[: len(places)])


def _well_placed(held: npt.NDArray[np.uint8], quotes: Numbers, dialect: Dialect) -> bool:
    """Whether each opening quote follows a delimiter or a line end, and each closing one precedes such."""
    around = np.zeros(256, dtype=np.bool_)
    around[[ord(dialect.quote), ord(dialect.delimiter), LF, CR]] = True
    before, after = quotes[::2] - 1, quotes[1::2] + 1
    opening = held[before[before >= 0]]
    closing = held[after[after < len(held)]]
    return bool(around[opening].all() and around[closing].all())


def _records(data: bytes, found: LineEnds, outside: Numbers, final: bool, limit: int) -> Records:
    """Records that end at those of the line ends that are `outside` quotes."""
    every, ends = found.places, found.places[outside]
    whole = int(ends[-1]) + 1 if len(ends) else 0
    if final and whole < len(data):
        ends, outside = np.append(ends, len(data)), np.append(outside, len(every))
    # blank lines count here and are left out below: the cut depends on the content alone either way
    limited = len(ends) > limit
    ends, outside = ends[:limit], outside[:limit]
    size = min(int(ends[-1]) + 1, len(data)) if len(ends) else 0
    lines = min(int(outside[-1]) + 1, len(every)) if len(ends) else 0
    starts, line = np.zeros_like(ends), np.zeros_like(ends)
    starts[1:], line[1:] = ends[:-1] + 1, outside[:-1] + 1
    if found.returns:
        last = np.frombuffer(data, np.uint8)[np.maximum(ends - 1, 0)]
        ends = ends - ((last == CR) & (ends > starts))
    full = ends > starts
    blank = not full.all()
    if blank:
        starts, ends, line = starts[full], ends[full], line[full]
    return Records(size, lines, starts, ends, line, limited, plain=not (blank or found.lone))


@lru_cache(maxsize=16)
def _patterns(dialect: Dialect) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """A whole record, and one that ends inside quotes."""
    quote, delimiter = re.escape(dialect.quote.encode()), re.escape(dialect.delimiter.encode())
    inside = rb"(?:[^%(q)s]++|%(q)s%(q)s)*+" % {b"q": quote}
    value = rb"(?:%(q)s%(i)s%(q)s|(?!%(q)s)[^%(d)s\r\n]*+)" % {b"q": quote, b"d": delimiter, b"i": inside}
    parts = {b"v": value, b"d": delimiter, b"q": quote, b"i": inside}
    whole = re.compile(rb"%(v)s(?:%(d)s%(v)s)*+(?=[\r\n]|\Z)" % parts)
    unclosed = re.compile(rb"(?:%(v)s%(d)s)*+%(q)s%(i)s\Z" % parts)
    return whole, unclosed


_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_LINE: Final = re.compile(rb"[^\r\n]*+")


def _line_end(data: bytes, start: int, final: bool) -> int | None:
    """Where the line end that begins at `start` is over; None when it is not all there yet."""
    match = _LINE_END.match(data, start)
    if match is None or (match.group() == b"\r" and match.end() == len(data) and not final):
        return len(data) if final and start == len(data) else None
    return match.end()


def _walk(data: bytes, dialect: Dialect, final: bool, limit: int) -> Records:
    """One record after the other: for blocks in which a quote is misplaced."""
    whole, unclosed = _patterns(dialect)
    starts: list[int] = []
    ends: list[int] = []
    line_of: list[int] = []
    broken: list[Broken] = []
    place = line = 0
    while place < len(data) and len(starts) + len(broken) < limit:
        match = whole.match(data, place)
        reason = None
        if match is None:
            open_end = unclosed.match(data, place) is not None
            if open_end and not final:
                break
            reason = UNCLOSED if open_end else MISQUOTED
            match = _LINE.match(data, place)
        end = match.end() if match else place
        behind = _line_end(data, end, final)
        if behind is None:
            break
        if reason is not None:
            broken.append(Broken(place, end, line, reason))
        elif end > place:
            starts.append(place)
            ends.append(end)
            line_of.append(line)
        line += 1 if reason else _count_lines(data, place, behind)
        place = behind
    limited = place < len(data) and len(starts) + len(broken) >= limit
    found = [np.array(values, dtype=np.int64) for values in (starts, ends, line_of)]
    return Records(place, line, found[0], found[1], found[2], limited, plain=False, broken=broken)


def _count_lines(data: bytes, start: int, end: int) -> int:
    lone = data.count(b"\r", start, end) - data.count(b"\r\n", start, end)
    return data.count(b"\n", start, end) + lone
