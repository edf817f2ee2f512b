"""Finds records one after the other: for blocks in which a quote is misplaced."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import numpy as np

from connectors.sources.formats.records import Broken, Dialect, Records

UNCLOSED: Final = "a quoted value is never closed"
MISQUOTED: Final = "text follows a closing quote"


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


def walk(data: bytes, dialect: Dialect, final: bool, limit: int) -> Records:
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
    return Records(place, line, found[2], limited, plain=False, spans=lambda: (found[0], found[1]), broken=broken)


def _count_lines(data: bytes, start: int, end: int) -> int:
    lone = data.count(b"\r", start, end) - data.count(b"\r\n", start, end)
    return data.count(b"\n", start, end) + lone
