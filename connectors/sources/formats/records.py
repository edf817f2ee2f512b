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

import polars as pl
import pyarrow as pa

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
    starts: pl.Series  # Int64, offsets in the block
    ends: pl.Series  # Int64, without the line end
    line: pl.Series  # Int64, of a record's first line, from 0
    limited: bool  # the limit came before the end of the block
    broken: list[Broken] = field(default_factory=list)


def scan(data: bytes, dialect: Dialect, final: bool, limit: int) -> Records:
    """Up to `limit` records; an unfinished one at the end is left alone unless `final`."""
    if dialect.quote and dialect.quote.encode() in data:
        found = _scan_quoted(data, dialect, final, limit)
        return _walk(data, dialect, final, limit) if found is None else found
    ends = _line_ends(data, final)
    return _records(data, ends, ends, final, limit)


def _bytes(data: bytes) -> pl.Series:
    array = pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)])
    return pl.Series(array)


def _line_ends(data: bytes, final: bool) -> pl.Series:
    """Offsets of the last byte of every line end: LF, or a CR that no LF follows."""
    series = _bytes(data)
    feeds = (series == LF).arg_true().cast(pl.Int64)
    if b"\r" not in data or _pairs(series, feeds) == (series == CR).sum():
        return feeds
    # A CR that ends the block may be half a line end: it counts once it is known that nothing follows.
    following = series.shift(-1, fill_value=0 if final else LF)
    return ((series == LF) | ((series == CR) & (following != LF))).arg_true().cast(pl.Int64)


def _pairs(series: pl.Series, feeds: pl.Series) -> int:
    """How many line feeds follow a CR."""
    return int((series.gather((feeds - 1).filter(feeds > 0)) == CR).sum())


def _scan_quoted(data: bytes, dialect: Dialect, final: bool, limit: int) -> Records | None:
    """None when a quote stands where it does not belong, or is never closed."""
    series = _bytes(data)
    quotes = (series == ord(dialect.quote)).arg_true().cast(pl.Int64)
    all_ends = _line_ends(data, final)
    ends = all_ends.filter(quotes.search_sorted(all_ends) % 2 == 0)
    if final and len(quotes) % 2 == 1:
        return None
    cut = len(data) if final else (int(ends[-1]) + 1 if len(ends) else 0)
    quotes = quotes.filter(quotes < cut)
    if cut == 0 or not _well_placed(series, quotes, dialect):
        return None
    return _records(data, ends, all_ends, final, limit)


def _well_placed(series: pl.Series, quotes: pl.Series, dialect: Dialect) -> bool:
    """Whether each opening quote follows a delimiter or a line end, and each closing one precedes such."""
    quote, delimiter = ord(dialect.quote), ord(dialect.delimiter)
    before = quotes.gather_every(2) - 1
    after = quotes.gather_every(2, 1) + 1
    opening = series.gather(before.filter(before >= 0))
    closing = series.gather(after.filter(after < len(series)))
    around = [quote, delimiter, LF, CR]
    return bool(opening.is_in(around).all() and closing.is_in(around).all())


def _records(data: bytes, ends: pl.Series, all_ends: pl.Series, final: bool, limit: int) -> Records:
    """Records between the given line ends; `all_ends` also holds those inside quotes."""
    several = len(all_ends) != len(ends)  # lines in a record
    whole = int(ends[-1]) + 1 if len(ends) else 0
    if final and whole < len(data):
        ends = ends.append(pl.Series([len(data)], dtype=pl.Int64))
    # blank lines count here and are left out below: the cut depends on the content alone either way
    limited = len(ends) > limit
    ends = ends.head(limit)
    size = min(int(ends[-1]) + 1, len(data)) if len(ends) else 0
    starts = (ends + 1).shift(1, fill_value=0)
    line = pl.int_range(len(ends), eager=True)
    if several:
        line = all_ends.search_sorted(starts).cast(pl.Int64)
    lines = int(all_ends.search_sorted(size))
    starts, ends, line = _without_blank(data, starts, ends, line)
    return Records(size, lines, starts, ends, line, limited)


def _without_blank(
    data: bytes, starts: pl.Series, ends: pl.Series, line: pl.Series
) -> tuple[pl.Series, pl.Series, pl.Series]:
    if b"\r" in data:
        series = _bytes(data)
        last = series.gather((ends - 1).clip(0))
        ends = ends - ((last == CR) & (ends > starts)).cast(pl.Int64)
    full = ends > starts
    if full.all():
        return starts, ends, line
    return starts.filter(full), ends.filter(full), line.filter(full)


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
    series = [pl.Series(values, dtype=pl.Int64) for values in (starts, ends, line_of)]
    limited = place < len(data) and len(starts) + len(broken) >= limit
    return Records(place, line, series[0], series[1], series[2], limited, broken)


def _count_lines(data: bytes, start: int, end: int) -> int:
    lone = data.count(b"\r", start, end) - data.count(b"\r\n", start, end)
    return data.count(b"\n", start, end) + lone
