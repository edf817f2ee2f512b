"""Which classes of two versions have regions that have something in common.

For each column it is asked once which names meet; classes are then rows of bits. Knows nothing of what names say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]
Meets = Callable[
    [pl.Series, pl.Series], Marks
]  # names of both versions: a row for each of the first, whether they meet


def equal(one: pl.Series, other: pl.Series) -> Marks:
    """Names that say nothing but themselves; a null is one of them."""
    places = pl.concat([one, other]).rank("dense").fill_null(0).to_numpy()
    return np.asarray(places[: len(one), None] == places[None, len(one) :])


def overlaps(
    before: pl.DataFrame, after: pl.DataFrame, quasi: Sequence[str], meets: Mapping[str, Meets], most: int
) -> tuple[Ints, Ints] | None:
    """The pairs of classes by number, by the first of both in order; None where they are more than `most`."""
    if not before.height or not after.height:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    columns = [_bits(before[name], after[name], meets.get(name, equal)) for name in quasi]
    rows, cols, found = [], [], 0
    for number in range(before.height):
        near = _all(after.height)
        for places, bits in columns:
            near = near & bits[places[number]]
        words = np.flatnonzero(near)
        each = np.flatnonzero(np.unpackbits(near[words], bitorder="little"))
        own = words[each // 8] * 8 + each % 8
        found += len(own)
        if found > most:
            return None
        rows.append(np.full(len(own), number, dtype=np.int64))
        cols.append(own.astype(np.int64))
    return np.concatenate(rows), np.concatenate(cols)


def _all(height: int) -> npt.NDArray[np.uint8]:
    return np.packbits(np.ones(height, dtype=np.bool_), bitorder="little")


def _bits(before: pl.Series, after: pl.Series, meets: Meets) -> tuple[Ints, npt.NDArray[np.uint8]]:
    """The place of each earlier class's name, and for each name a bit for each later class."""
    names, places = _places(before)
    others, there = _places(after)
    met = meets(names, others)
    bits = np.empty((len(names), (len(after) + 7) // 8), dtype=np.uint8)
    for number in range(len(names)):
        bits[number] = np.packbits(met[number][there], bitorder="little")
    return places, bits


def _places(values: pl.Series) -> tuple[pl.Series, Ints]:
    names = values.unique(maintain_order=True)
    own = (
        values.alias("v")
        .to_frame()
        .join(
            names.alias("v").to_frame().with_row_index("at"),
            on="v",
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
    )
    return names.cast(pl.String) if names.dtype == pl.Categorical else names, own["at"].cast(pl.Int64).to_numpy()
