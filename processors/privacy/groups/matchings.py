"""Groups that hold no two records of one subject: records change places until each group is a matching.

Records are edges between subjects and values; groups in which no value and no subject is met twice are matchings.
Random exchanges of records of one value come first, alternating paths settle what is left. Always holds: how many
records of which value a group has does not change. Knows nothing of what is published.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from processors.anonymize.randomness import Draw

Ints = npt.NDArray[np.int64]

_SWAPS = 24  # rounds of random exchanges before paths are looked for


def set_apart(groups: Ints, values: Ints, subjects: Ints, diversity: int, draw: Draw) -> Ints:
    """Groups of the same number, no two records of a value or of a subject in one, none smaller than `diversity`.

    Most meetings of a subject with itself end when a record changes places with a random one of its value; the few
    that are left end by alternating paths, which always exist.
    """
    groups = groups.copy()
    number = int(groups.max(initial=-1)) + 1
    met = _met(groups, subjects)
    for block in range(_SWAPS):
        if not len(met):
            break
        _swap(groups, values, subjects, met, draw, block)
        met = _met(groups, subjects)
    if len(met):
        _Paths(groups, values, subjects, met, number).insert_all()
        _even_out(groups, values, subjects, diversity, number)
    return groups


def _met(groups: Ints, subjects: Ints) -> Ints:
    """The records whose subject has another record, which comes before, in the group."""
    pairs = pl.Series(groups * (int(subjects.max(initial=0)) + 1) + subjects)
    later: Ints = (~pairs.is_first_distinct()).arg_true().cast(pl.Int64).to_numpy()
    return later


def _swap(groups: Ints, values: Ints, subjects: Ints, met: Ints, draw: Draw, block: int) -> None:
    """Each of these records changes places with a random one of its value, where that makes no new meeting."""
    own = Draw(draw.key, draw.table, draw.identities[met])
    chance = own.bits("anatomy-swap", "", block)[0].to_numpy()
    rows = np.argsort(values, kind="stable")
    counts = np.bincount(values)
    starts = np.cumsum(counts) - counts
    other = rows[starts[values[met]] + (chance % counts[values[met]].astype(np.uint64)).astype(np.int64)]
    here, there = groups[met], groups[other]
    width = int(subjects.max()) + 1
    taken = np.sort(groups * width + subjects)

    def free(group: Ints, subject: Ints) -> npt.NDArray[np.bool_]:
        wanted = group * width + subject
        lacks: npt.NDArray[np.bool_] = taken[np.minimum(np.searchsorted(taken, wanted), len(taken) - 1)] != wanted
        return lacks

    fits = free(there, subjects[met]) & free(here, subjects[other])
    met, other, here, there = met[fits], other[fits], here[fits], there[fits]
    # a group takes part in one exchange of a round, so that what was looked up stays true
    _, first = np.unique(np.stack([here, there], axis=1).ravel(), return_index=True)
    alone = np.bincount(first // 2, minlength=len(met)) == 2
    groups[met[alone]], groups[other[alone]] = there[alone], here[alone]


class _Index:
    """Which record of a value, or of a subject, is in a group; sorted numbers, and what has changed since."""

    def __init__(self, ends: Ints, groups: Ints, number: int) -> None:
        rows = np.flatnonzero(groups >= 0)
        keys = ends[rows] * number + groups[rows]
        order = np.argsort(keys)
        self._number, self._keys, self._rows = number, keys[order], rows[order]
        self._changed: dict[int, int | None] = {}

    def find(self, end: int, group: int) -> int | None:
        key = end * self._number + group
        if key in self._changed:
            return self._changed[key]
        at = int(np.searchsorted(self._keys, key))
        return int(self._rows[at]) if at < len(self._keys) and self._keys[at] == key else None

    def put(self, end: int, group: int, row: int | None) -> None:
        self._changed[end * self._number + group] = row


class _Paths:
    """Puts records that met their subject into groups one by one, by exchanging two groups along a path."""

    def __init__(self, groups: Ints, values: Ints, subjects: Ints, met: Ints, number: int) -> None:
        self._groups, self._met, self._number = groups, met, number
        self._were = groups[met].tolist()
        groups[met] = -1
        self._ends = (values, subjects)
        self._of = (_Index(values, groups, number), _Index(subjects, groups, number))

    def insert_all(self) -> None:
        for row, was in zip(self._met.tolist(), self._were, strict=True):
            value, subject = int(self._ends[0][row]), int(self._ends[1][row])
            for_subject, for_value = self._free(1, subject, was), self._free(0, value, was)
            path = list(self._path(value, for_subject, for_value))
            for step in path:
                self._take(step)
            for i, step in enumerate(path):
                self._give(step, for_subject if i % 2 else for_value)
            self._give(row, for_subject)

    def _free(self, side: int, end: int, start: int) -> int:
        """A group without this value or subject; there is one, since it has no more records than there are groups."""
        return next(
            group
            for group in ((start + step) % self._number for step in range(self._number))
            if self._of[side].find(end, group) is None
        )

    def _path(self, end: int, here: int, there: int) -> Iterator[int]:
        """From a value the record in group `here`, from its subject the one in `there`, from its value again."""
        side, group = 0, here
        while (row := self._of[side].find(end, group)) is not None:
            yield row
            side = 1 - side
            end, group = int(self._ends[side][row]), there if group == here else here

    def _take(self, row: int) -> None:
        for index, ends in zip(self._of, self._ends, strict=True):
            index.put(int(ends[row]), int(self._groups[row]), None)

    def _give(self, row: int, group: int) -> None:
        self._groups[row] = group
        for index, ends in zip(self._of, self._ends, strict=True):
            index.put(int(ends[row]), group, row)


def _even_out(groups: Ints, values: Ints, subjects: Ints, diversity: int, number: int) -> None:
    """Gives every group `diversity` records, from groups that have more."""
    sizes = np.bincount(groups, minlength=number)
    for short in np.flatnonzero(sizes < diversity).tolist():
        while sizes[short] < diversity:
            rich = int(sizes.argmax())
            rows = np.flatnonzero((groups == short) | (groups == rich)).tolist()
            moved = next(
                part
                for part in _parts(rows, values, subjects)
                if sum(1 if groups[row] == rich else -1 for row in part) == 1
            )
            for row in moved:
                groups[row] = short if groups[row] == rich else rich
            sizes[short], sizes[rich] = sizes[short] + 1, sizes[rich] - 1


def _parts(rows: list[int], values: Ints, subjects: Ints) -> list[list[int]]:
    """The records of two groups, parted so that no value and no subject is in two parts."""
    parts: list[tuple[set[tuple[int, int]], list[int]]] = []
    for row in rows:
        ends = {(0, int(values[row])), (1, int(subjects[row]))}
        own = [part for part in parts if part[0] & ends]
        parts = [part for part in parts if not part[0] & ends]
        parts.append((ends.union(*(part[0] for part in own)), [row, *(r for part in own for r in part[1])]))
    return [part[1] for part in parts]
