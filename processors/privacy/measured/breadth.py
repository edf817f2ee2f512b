"""How wide published groups are, read from their names alone: NCP that can be computed again from a release.

The names are those that `dimension` gives: `30..39`, `30..<40`, `39`, `<30`, `>=100`, `2020-03..2020-05`, `2020-Q1`,
`1990s`, `*`, `blue|green`, names of a hierarchy's groups, any of them behind `null|`. The whole extent is that of
all groups published, and a category is as wide as the share of categories that it stands for. A null is published as
it was and loses nothing. Where all values of a column went to one level, codes may be cut, `10***`, and addresses be
networks, `192.0.2.0/24`: they lose the share of their characters or bits that isn't told. Names in another form say
nothing of their width: then there is no NCP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

import numpy as np
import polars as pl

from processors.privacy.domains.naming import ANY, NULL
from processors.privacy.measured.loss import group_losses
from schemas.columns import ColumnType

Form = Literal["number", "date", "moment", "group", "value", "code", "network"]
Extent = tuple[Decimal, Decimal]

_NUMBER: Final = re.compile(r"(-?\d+(?:\.\d+)?)(?:\.\.(<?)(-?\d+(?:\.\d+)?))?")
_CUT: Final = re.compile(r"[0-9A-Za-z]+\*+")
_NETWORK: Final = re.compile(r"[0-9a-f:.]+/(\d{1,3})")
_UNITS: Final[tuple[tuple[re.Pattern[str], Callable[[str], int]], ...]] = (
    (re.compile(r"-?\d{3,}0s"), lambda text: int(text[:-1]) // 10),
    (re.compile(r"\d{4}"), int),
    (re.compile(r"\d{4}-Q[1-4]"), lambda text: int(text[:4]) * 4 + int(text[-1])),
    (re.compile(r"\d{4}-\d{2}"), lambda text: int(text[:4]) * 12 + int(text[5:])),
    (re.compile(r"\d{4}-\d{2}-\d{2}"), lambda text: int(np.datetime64(text, "D").astype(np.int64))),
    (re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}"), lambda text: int(np.datetime64(text, "h").astype(np.int64))),
)
_FORMS: Final[dict[ColumnType, Form]] = {
    "int64": "number", "float64": "number", "decimal": "number", "date": "date", "timestamp": "moment",
}  # fmt: skip


@dataclass(frozen=True)
class Breadth:
    """How the widths of a column's groups are told; `shares` has those of a hierarchy's groups that were published."""

    form: Form
    shares: Mapping[str, float] | None = None

    def losses(self, names: Sequence[str]) -> dict[str, float] | None:
        """The NCP of a cell with each of these names, which are all that were published; None if one says nothing."""
        bare = {name: name.removeprefix(f"{NULL}|") for name in names}
        told = [name for name in dict.fromkeys(bare.values()) if name != ANY]
        if self.form == "group":
            found = {name: self.shares[name] for name in told if self.shares is not None and name in self.shares}
        elif self.form == "value":
            found = _of_values(told)
        elif self.form == "code":
            found = {name: name.count(ANY) / len(name) for name in told if _CUT.fullmatch(name)}
        elif self.form == "network":
            found = {name: _hidden(name) for name in told if _NETWORK.fullmatch(name)}
        else:
            found = _of_extents(told, self.form) or {}
        if any(name not in found for name in told):
            return None
        return {name: 1.0 if one == ANY else found[one] for name, one in bare.items()}


def breadth(kind: ColumnType, rows: Sequence[Sequence[str]] | None, cells: pl.Series, levels: bool = False) -> Breadth:
    """Of a column that was of this type before it was published; `rows` are those of its hierarchy.

    `levels`: all its values went to the same level.
    """
    form = _FORMS.get(kind, "value")
    if rows is None and not (levels and form == "value"):
        return Breadth(form)
    names = cells.unique().drop_nulls().cast(pl.String).to_list()
    bare = sorted({name.removeprefix(f"{NULL}|") for name in names})
    if rows is None:
        return Breadth(_form_of_level(bare))
    shares = group_losses(rows)
    return Breadth("group", {name: shares[name] for name in bare if name in shares})


def _form_of_level(names: Sequence[str]) -> Form:
    if names and all(map(_CUT.fullmatch, names)) and len({(len(name), name.index(ANY)) for name in names}) == 1:
        return "code"
    return "network" if names and all(map(_NETWORK.fullmatch, names)) else "value"


def _hidden(network: str) -> float:
    """The share of an address's bits that its network leaves open."""
    address, _, bits = network.partition("/")
    return max(0.0, 1 - int(bits) / (128 if ":" in address else 32))


def published_ncp(frame: pl.DataFrame, breadths: Mapping[str, Breadth], suppressed: int) -> float | None:
    """The average loss of the cells of these columns; a suppressed record loses all. None if a name says nothing."""
    whole = frame.height + suppressed
    if not breadths or not whole:
        return None if not breadths else 0.0
    lost = 0.0
    for column, one in breadths.items():
        counts = frame[column].cast(pl.String).alias("name").to_frame().group_by("name").len().drop_nulls().sort("name")
        losses = one.losses(counts["name"].to_list())
        if losses is None:
            return None
        lost += sum(losses[name] * count for name, count in counts.rows())
    return (lost / len(breadths) + suppressed) / whole


def _of_values(names: Sequence[str]) -> dict[str, float]:
    members = {name: name.split("|") for name in names}
    known = len({member for several in members.values() for member in several})
    return {name: len(several) / known if len(several) > 1 else 0.0 for name, several in members.items()}


def _of_extents(names: Sequence[str], form: Form) -> dict[str, float] | None:
    """Extent against whole extent; what is bounded on one side alone loses all, a single value nothing."""
    found: dict[str, Extent] = {}
    for name in names:
        if name[0] in "<>":
            continue
        extent = _extent(name, form)
        if extent is None:
            return None
        found[name] = extent
    lows, highs = [low for low, _ in found.values()], [high for _, high in found.values()]
    # on a grid of single values there is one step less from the first to the last than there are values
    step = int(_of_single_values(found, form))
    whole = max(highs, default=Decimal(0)) - min(lows, default=Decimal(0)) - step
    shares = {name: float((high - low - step) / whole) if whole else 0.0 for name, (low, high) in found.items()}
    return dict.fromkeys(names, 1.0) | shares


def _of_single_values(found: Mapping[str, Extent], form: Form) -> bool:
    if form == "date":
        return any(len(name.partition("..")[0]) == len("2020-01-01") for name in found)
    return form == "number" and any(".." not in name for name in found)


def _extent(name: str, form: Form) -> Extent | None:
    """From where to below where the group goes, in values or in calendar units."""
    if form == "number":
        match = _NUMBER.fullmatch(name)
        if match is None:
            return None
        low, below, high = match.groups()
        return Decimal(low), Decimal(high or low) + (0 if below else 1)
    first, _, last = name.partition("..")
    for pattern, number in _UNITS:
        if pattern.fullmatch(first) and pattern.fullmatch(last or first):
            try:
                return Decimal(number(first)), Decimal(number(last or first) + 1)
            except ValueError:
                return None  # a date that there is not
    return None
