"""Versions of several tables of totals that tell of the same records: does subtracting them tell of fewer than k?

Totals over columns that all of them have are added and subtracted as an attacker would. Always holds: a difference that
is found harmless is of k subjects or more, as a count that all publish tells, or nothing. Knows published texts only.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import polars as pl

from processors.privacy.releases.differences import OVER
from processors.privacy.releases.totals import EXACT, Totals, added_up, choices, figures_that_add_up

Side = tuple[pl.DataFrame, Totals]


def subtracted(one: Side, other: Side, now: Side, k: int) -> dict[str, int]:
    """What a table of now tells beside another one that left earlier; `now`: that other one as it would be by now.

    Where the two count nothing alike, it is asked what the other one's own difference would tell: as much as the first
    table tells of it by what both have in common.
    """
    by, figures = _common([one, other, now])
    counted = [{totals.figures[name] for name in totals.counts} for _, totals in (one, other)]
    if not set.intersection(*counted).isdisjoint(figures):
        return _found([(one, 1), (other, -1)], by, figures, k)
    return _found([(now, 1), (other, -1)], by, figures, k, apart=True)


def crossed(one: tuple[Side, Side], other: tuple[Side, Side], k: int) -> dict[str, int]:
    """What is told by the difference of two differences: of each table between its later and its earlier version."""
    sides = [*one, *other]
    by, figures = _common(sides)
    return _found([*zip(sides, (1, -1, -1, 1), strict=True)], by, figures, k)


def _common(sides: Sequence[Side]) -> tuple[list[str], list[str]]:
    """The grouping columns and the figures that all have."""
    told = [figures_that_add_up(totals) for _, totals in sides]
    by = [name for name in sides[0][1].by if all(name in totals.by for _, totals in sides)]
    return by, [text for text in told[0] if all(text in own for own in told)]


def _found(
    parts: Sequence[tuple[Side, int]], by: Sequence[str], figures: Sequence[str], k: int, *, apart: bool = False
) -> dict[str, int]:
    """How many totals fewer than k subjects make what they are. `apart`: counts of distinct subjects add up, too."""
    if not figures or not all(frame.height for (frame, _), _ in parts):
        return {}
    sides = [side for side, _ in parts]
    counted = [{totals.figures[name]: name for name in totals.counts} for _, totals in sides]
    counts = [text for text in counted[0] if all(text in own for own in counted) and (apart or text in figures)]
    wanted = [
        {text: name for name, text in totals.figures.items() if text in {*figures, *counts}} for _, totals in sides
    ]
    found = 0
    for columns in choices(by):
        sums = [(added_up(frame, columns, own), sign) for ((frame, _), sign), own in zip(parts, wanted, strict=True)]
        for key in set.intersection(*({*one} for one, _ in sums)):
            net = {text: _net([(one[key][text], sign) for one, sign in sums]) for text in {*figures, *counts}}
            enough = any(one is not None and abs(one) >= k for one in (net[text] for text in counts))
            found += not enough and any(net[text] != 0 for text in figures)
    return {OVER: found} if found else {}


def _net(terms: Sequence[tuple[Decimal | None, int]]) -> Decimal | None:
    total = Decimal()
    for value, sign in terms:
        if value is None:
            return None
        total = EXACT.add(total, value) if sign > 0 else EXACT.subtract(total, value)
    return total
