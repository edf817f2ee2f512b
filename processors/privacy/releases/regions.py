"""Whether two published names of a quasi-identifier may stand for one value: what a reader of both would see.

Names are those that `dimension` gives: numbers and moments are intervals, categories are sets of values, `*` is all
there is, and what is behind `null|` may be null besides. Where all values went to one level a text may be a code that
is cut, `10***`, or a network. A name in another form, and a value beyond the hierarchy, stands for itself. Knows names
and declarations, never a value that was not published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from ipaddress import ip_network
from typing import Any, Final

import numpy as np
import polars as pl

from processors.privacy.domains.naming import ANY, NULL
from processors.privacy.releases.overlaps import Marks, Meets
from schemas.columns import ColumnType

_NUMBER: Final = re.compile(r"(-?\d+(?:\.\d+)?)(?:\.\.(<?)(-?\d+(?:\.\d+)?))?")
_MOMENTS: Final[tuple[tuple[re.Pattern[str], Callable[[str], tuple[str, int]]], ...]] = (
    (re.compile(r"-?\d{3,}0s"), lambda text: (f"{int(text[:-1]):04d}", 120)),
    (re.compile(r"\d{4}"), lambda text: (text, 12)),
    (re.compile(r"\d{4}-Q[1-4]"), lambda text: (f"{text[:4]}-{int(text[-1]) * 3 - 2:02d}", 3)),
    (re.compile(r"\d{4}-\d{2}"), lambda text: (text, 1)),
)  # the first month, and how many there are
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_HOUR: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}")
_NUMBERS: Final = ("int64", "float64", "decimal")
_ENDLESS: Final = Decimal("Infinity")

_CODE: Final = re.compile(r"([^*|]+)(\**)")
_LAST: Final = chr(0x10FFFF)

Bound = tuple[str, Any]  # of which order, and where in it
Extent = tuple[Bound, Bound]


@dataclass(frozen=True)
class _Region:
    """`extents` are from a value to below another; `values` by their names; `everything` is every value but null."""

    null: bool = False
    everything: bool = False
    extent: Extent | None = None
    values: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Naming:
    """How a column's groups are named: its type before, the rows of its hierarchy, whether all went to one level."""

    kind: ColumnType = "string"
    hierarchy: Sequence[Sequence[str]] | None = None
    levels: bool = False


def meets(before: Naming, after: Naming) -> Meets:
    """Of a column that the versions name so."""
    read = [
        partial(_region, naming=one, leaves=None if one.hierarchy is None else _leaves(one.hierarchy))
        for one in (before, after)
    ]

    def met(one: pl.Series, other: pl.Series) -> Marks:
        sides = [[reading(name) for name in names] for reading, names in zip(read, (one, other), strict=True)]
        return _nulls(*sides) | _extents(*sides) | _values(*sides)

    return met


def _region(name: str | None, naming: Naming, leaves: Mapping[str, frozenset[str]] | None) -> _Region:
    if name is None:
        return _Region(null=True)
    bare = name.removeprefix(f"{NULL}|")
    null = bare != name
    if bare == ANY:
        return _Region(null, everything=True)
    if leaves is not None:
        return _Region(null, values=leaves.get(bare, frozenset([bare])))
    if naming.kind in _NUMBERS or naming.kind in ("date", "timestamp"):
        extent = _bounded(bare, _number if naming.kind in _NUMBERS else _moment)
        return _Region(null, values=frozenset([bare])) if extent is None else _Region(null, extent=extent)
    return _Region(null, extent=_code(bare) if naming.levels else None, values=frozenset(bare.split("|")))


def _leaves(rows: Sequence[Sequence[str]]) -> dict[str, frozenset[str]]:
    """Of each name in the hierarchy the values below it; a name on several levels is all of them."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for name in row:
            found.setdefault(name, set()).add(row[0])
    return {name: frozenset(values) for name, values in found.items()}


def _bounded(name: str, read: Callable[[str], Extent | None]) -> Extent | None:
    for sign in ("<", ">="):
        if name.startswith(sign):
            extent = read(name.removeprefix(sign))
            if extent is None:
                return None
            order = extent[0][0]
            return ((order, -_ENDLESS), extent[0]) if sign == "<" else (extent[0], (order, _ENDLESS))
    return read(name)


def _number(name: str) -> Extent | None:
    match = _NUMBER.fullmatch(name)
    if match is None:
        return None
    low, below, high = match.groups()
    return ("", Decimal(low)), ("", Decimal(high or low) + (0 if below else 1))


def _code(name: str) -> Extent | None:
    """A network or an address, or a code of which the end may be cut."""
    try:
        network = ip_network(name)
        order, first = f"ip{network.version}", int(network.network_address)
        return (order, first), (order, first + network.num_addresses)
    except ValueError:
        found = _CODE.fullmatch(name)
    order = f"code{len(name)}"
    return None if found is None else ((order, found[1]), (order, found[1] + _LAST))


def _moment(name: str) -> Extent | None:
    first, _, last = name.partition("..")
    start, end = _hours(first), _hours(last or first)
    return None if start is None or end is None else (start[0], end[1])


def _hours(name: str) -> Extent | None:
    """Since the epoch."""
    try:
        for pattern, of in _MOMENTS:
            if pattern.fullmatch(name):
                month, count = of(name)
                start = np.datetime64(month, "M")
                return _between(start, start + count)
        if _DAY.fullmatch(name):
            return _between(np.datetime64(name, "D"), np.datetime64(name, "D") + 1)
        if _HOUR.fullmatch(name):
            return _between(np.datetime64(name, "h"), np.datetime64(name, "h") + 1)
    except ValueError:
        return None  # a date that there is not
    return None


def _between(start: np.datetime64, end: np.datetime64) -> Extent:
    low, high = (int(one.astype("datetime64[h]").astype(np.int64)) for one in (start, end))
    return ("", Decimal(low)), ("", Decimal(high))


def _nulls(one: list[_Region], other: list[_Region]) -> Marks:
    """Where both may be null, or one is everything and the other more than null."""
    (null, every, some), (nulls, all_, more) = (
        np.array([(r.null, r.everything, r.everything or r.extent is not None or bool(r.values)) for r in side])
        .reshape(-1, 3)
        .T.astype(np.bool_)
        for side in (one, other)
    )
    return np.asarray(np.outer(null, nulls) | np.outer(every, more) | np.outer(some, all_))


def _extents(one: list[_Region], other: list[_Region]) -> Marks:
    bounds = sorted({bound for region in (*one, *other) if region.extent for bound in region.extent})
    places = {bound: place for place, bound in enumerate(bounds)}
    ends = [
        np.array([[places[b] for b in region.extent] if region.extent else [0, 0] for region in side]).reshape(-1, 2)
        for side in (one, other)
    ]  # an empty one meets none
    (low, high), (start, end) = ends[0].T[:, :, None], ends[1].T
    return np.asarray((low < end) & (start < high) & (low < high) & (start < end))


def _values(one: list[_Region], other: list[_Region]) -> Marks:
    found, there = np.zeros((len(one), len(other)), dtype=np.bool_), _by_value(other)
    for value, rows in _by_value(one).items():
        if value in there:
            found[np.ix_(rows, there[value])] = True
    return found


def _by_value(side: list[_Region]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, region in enumerate(side):
        for value in region.values:
            found.setdefault(value, []).append(place)
    return found
