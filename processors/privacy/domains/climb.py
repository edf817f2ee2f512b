"""Levels of a quasi-identifier over the codes of its domain: what the search through levels climbs.

Always holds: nothing is finer than the grain; groups of a level lie on the lines of the grid, or are groups of the
hierarchy, whichever values there are; they have the names that `dimension` gives, so breadths can be read from them.
Numbers go by a step that doubles or by declared ones, moments by ever longer units, texts up their hierarchy; without
one, networks where all are addresses, first characters where all are codes of one length, else all or nothing. A null
is published as null until all is one group, `null|*`. Knows codes and domains; no table, class or guarantee.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from processors.anonymize.grid import network
from processors.privacy.domains.dimension import Dimension, Grain
from processors.privacy.domains.levels import Codes, Floats, Levels, levels_of, whole
from processors.privacy.domains.naming import ANY, NULL
from processors.privacy.domains.scale import BELOW, UNITS, Scale, Unit, coarser, moment
from processors.privacy.domains.taxonomy import Flat, Taxonomy
from processors.wrong_config import MisfitError

NETWORKS: Final = ((24, 64), (16, 48), (8, 32))  # bits that remain of IPv4 and IPv6
_CODE: Final = r"^[0-9A-Za-z]*[0-9][0-9A-Za-z]*$"
_ADDRESS: Final = r"^([0-9]{1,3}\.){3}[0-9]{1,3}$|^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$"
_HOURS: Final[dict[Unit, float]] = {
    "hour": 1.0, "day": 24.0, "month": 730.485, "quarter": 2191.455, "year": 8765.82, "decade": 87658.2,
}  # fmt: skip
Steps = tuple[list[pl.Series], list[Floats], str]  # of level 0 and up: each code's group by name, its NCP; in words


def climb(dimension: Dimension, grain: Grain, codes: Codes) -> Levels:
    """Levels over the distinct codes that a column has; 0, which is null, becomes a null."""
    nulls = bool((codes == 0).any())
    values = codes[codes != 0].astype(np.int64)
    if isinstance(dimension, Taxonomy):
        values = np.union1d(values, np.arange(1, len(dimension.leaves) + 1))
        names, shares, told = _up_the_tree(dimension, values)
    elif isinstance(dimension, Scale):
        by = _multiples(dimension, grain) if dimension.unit is None else _units(dimension, grain)
        names, shares, told = _on_the_grid(dimension, grain, values, by)
    elif isinstance(dimension, Flat):
        names, shares, told = _side_by_side(dimension, values)
    else:
        raise TypeError(f"{type(dimension).__name__} has no levels")
    found = levels_of(pl.Series(values, dtype=pl.Int64), names[1:], told, shares[1:])
    found = replace(found, names=(names[0], *found.names[1:]), shares=(shares[0], *found.shares[1:]))
    if not nulls:
        return found
    found = found.with_null()
    return replace(found, names=(*found.names[:-1], found.names[-1].replace(ANY, f"{NULL}|{ANY}")))


def check(grain: Grain) -> None:
    """Refuses steps that don't nest."""
    sizes = [_size(step) for step in grain.steps or ()]
    for fine, coarse in pairwise(sizes):
        if coarse <= fine or coarse % fine:
            above = fine * max(2, int(coarse / fine + Decimal("0.5")))
            raise MisfitError(f"has a step of {coarse:f} after {fine:f}", f"give a multiple, as {above:f}", ("steps",))


def _size(step: Any) -> Decimal:
    try:
        size = Decimal(str(step))
    except InvalidOperation:
        size = Decimal("NaN")
    if not size.is_finite() or not 0 < size < 2**62:
        raise MisfitError(f"has a step of {step}", "give positive numbers", ("steps",))
    return size


def _up_the_tree(tree: Taxonomy, values: Codes) -> Steps:
    """What is no leaf of the hierarchy has the root's name on every level."""
    names, shares = [], []
    known, leaf = values <= len(tree.leaves), np.minimum(values, len(tree.leaves)) - 1
    for labels, groups, below in zip(tree.labels, tree.groups, tree.below, strict=True):
        own = np.where(known, groups[leaf], len(labels))
        names.append(pl.Series([*labels, tree.labels[-1][0]], dtype=pl.String).gather(own))
        cost = np.where(below == 1, 0.0, below / len(tree.leaves))
        shares.append(np.append(cost, 1.0)[own])
    if len(tree.leaves) == 1 or not len(values):
        shares[-1] = np.where(known, shares[-1], 1.0)
    return names, shares, f"a hierarchy of {len(tree.leaves)} leaves in {len(tree.labels)} levels"


def _multiples(scale: Scale, grain: Grain) -> list[tuple[int, str]]:
    """How many cells each level puts together, and the step in words."""
    if grain.steps is not None:
        sizes = [_size(step) for step in grain.steps]
        return [(int(size / sizes[0]), f"{size:f}") for size in sizes]
    found = [1]
    while 2 * found[-1] < scale.cells:
        found.append(2 * found[-1])
    return [(many, scale.line(many)) for many in found]


def _units(scale: Scale, grain: Grain) -> list[tuple[Unit, str]]:
    if scale.unit is None:
        return []
    units: Sequence[Unit] = grain.units or UNITS[UNITS.index(scale.unit) :]
    return [(unit, unit) for unit in units]


def _on_the_grid(scale: Scale, grain: Grain, values: Codes, by: Sequence[tuple[int | Unit, str]]) -> Steps:
    """Beyond a declared bound values have a group of their own, and others end there."""
    lines = values - BELOW - 1 + scale.first
    inside = (values > BELOW) & (values <= BELOW + scale.cells)
    out = values[~inside]
    beyond = scale.names(out, out, np.zeros(len(out), dtype=np.bool_))
    extent = scale.cells - 1 + scale.inside
    names, shares = [], []
    for size, _ in by:
        if isinstance(size, int):
            each, own = np.unique(lines // size, return_inverse=True)
            told = pl.Series([_between(scale, grain, one * size, size) for one in each.tolist()], dtype=pl.String)
            width = float(size)
        else:
            unit = scale.unit or size
            each, own = np.unique(coarser(lines, unit, size), return_inverse=True)
            told = pl.Series([moment(one, size) for one in each.tolist()], dtype=pl.String)
            width = _HOURS[size] / _HOURS[unit]
        names.append(told.gather(own).scatter(np.flatnonzero(~inside), beyond))
        share = min(1.0, (width - 1 + scale.inside) / extent) if extent else 0.0
        shares.append(np.where(inside, share, 1.0))
    words = "calendar units" if scale.unit else "intervals"
    return *_topped(names, shares, len(values)), f"{words}: {', '.join(word for _, word in by)}"


def _between(scale: Scale, grain: Grain, start: int, size: int) -> str:
    end = start + size
    if grain.min is not None:
        start = max(start, scale.first)
    if grain.max is not None:
        end = min(end, scale.first + scale.cells)
    return scale.among(start, end) if start < end else ANY  # empty: of a value beyond, which has another name


def _side_by_side(flat: Flat, values: Codes) -> Steps:
    texts = pl.Series([*flat.leaves, ANY], dtype=pl.String).gather(values - 1)
    form = _form(texts) if flat.kind == "string" else None
    names, shares, told = [texts], [np.zeros(len(texts))], "all values are one group"
    if form == "address":
        cut = [texts.to_frame("v").select(network(pl.col("v"), *bits)).to_series() for bits in NETWORKS]
        if not any(one.null_count() for one in cut):  # else some only look like addresses
            six = texts.str.contains(":", literal=True).to_numpy()
            names += cut
            shares += [np.where(six, 1 - bits6 / 128, 1 - bits4 / 32) for bits4, bits6 in NETWORKS]
            told = f"networks of IPv4 and IPv6: {', '.join(f'/{four} and /{six}' for four, six in NETWORKS)}"
    elif form == "code":
        length = int(texts.str.len_chars()[0])
        keep = range(length - 1, 0, -1)
        names += [texts.str.head(one) + ANY * (length - one) for one in keep]
        shares += [np.full(len(texts), 1 - one / length) for one in keep]
        told = f"first characters: {', '.join(map(str, keep))}"
    return *_topped(names, shares, len(texts)), told


def _form(texts: pl.Series) -> Literal["address", "code"] | None:
    """What all of these texts are: addresses, or codes of one length."""
    if len(texts) and texts.str.contains(_ADDRESS).all():
        return "address"
    lengths = texts.str.len_chars()
    alike = lengths.n_unique() == 1 and lengths[0] > 1 and texts.str.contains(_CODE).all()
    return "code" if alike else None


def _topped(names: list[pl.Series], shares: list[Floats], count: int) -> tuple[list[pl.Series], list[Floats]]:
    return [*names, whole(count)], [*shares, np.ones(count)]
