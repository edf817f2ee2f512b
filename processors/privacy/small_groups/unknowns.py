"""What published groups leave unknown of atoms: those that stand in the same ones are one unknown, known ones are gone.

Always holds: a set of atoms whose total follows from the published ones, and in which no unknown is `large`, follows
from what is left here, or has an unknown that a group shows alone (`alone`). A group with a large unknown that no other
group has is no part of any such sum, so it is gone as well. Knows no reason to publish anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from processors.privacy.small_groups.atoms import Atoms, Ints, Marks

Words = npt.NDArray[np.uint64]
Group = tuple[int, int]  # of a table by its place the group by its number


class Unknowns:
    """`of_atom` is the unknown of each atom, -1 of none; `cells` of each unknown (a row) its group in each table."""

    def __init__(self, atoms: Atoms, hidden: Sequence[Marks], large: Callable[[Ints], Marks]) -> None:
        """`large` tells it of each unknown, given that of each atom."""
        self._atoms, self._hidden, self._large = atoms, hidden, large
        self._known_by = np.full((len(atoms.codes), 2), -1, dtype=np.int64)
        shown = [np.where((own >= 0) & ~mask[own], own, -1) for own, mask in zip(atoms.cells, hidden, strict=True)]
        self.cells = np.stack(shown, axis=1)
        self.of_atom: Ints = np.arange(len(atoms.codes))
        self.big: Marks = np.zeros(0, dtype=np.bool_)
        self.alone: list[tuple[Group, Ints]] = []
        self._merge()
        while self._repeated() or self._known() or self._useless():
            self._merge()

    def sources(self, groups: Sequence[Group]) -> list[Group]:
        """These groups, and those by which is known what was subtracted from them."""
        found, line = set(groups), list(groups)
        for table, group in line:
            inside = self._known_by[self._atoms.cells[table] == group]
            for at, number in np.unique(inside[inside[:, 0] >= 0], axis=0).tolist():
                if (at, number) not in found:
                    found.add((at, number))
                    line.append((at, number))
        return line

    def _merge(self) -> None:
        """Puts together those that stand in the same groups; who stands in none is gone."""
        there = np.asarray((self.cells >= 0).any(axis=1))
        kept, own = np.unique(self.cells[there], axis=0, return_inverse=True)
        number = np.full(len(there) + 1, -1, dtype=np.int64)  # the last is that of -1
        number[np.flatnonzero(there)] = own.reshape(-1)
        self.of_atom = number[self.of_atom]
        self.cells = kept.reshape(-1, self.cells.shape[1])
        self.big = self._large(self.of_atom)

    def _repeated(self) -> bool:
        """Takes out groups of the same unknowns as another one, which tell nothing more."""
        marks = mixed(len(self.cells))  # of a set their sum
        sums = []
        for own in self.cells.T:
            sums.append(np.zeros(int(own.max(initial=-1)) + 1, dtype=np.uint64))
            np.add.at(sums[-1], own[own >= 0], marks[own >= 0])
        every = np.concatenate(sums)
        first = np.zeros(len(every), dtype=np.bool_)
        first[np.unique(every, return_index=True)[1]] = True
        gone, at = False, 0
        for own, part in zip(self.cells.T, sums, strict=True):
            again = (own >= 0) & ~first[at : at + len(part)][own] if len(part) else own >= 0
            own[again] = -1
            gone, at = gone or bool(again.any()), at + len(part)
        return gone

    def _known(self) -> bool:
        """Takes out those that a group shows alone; of those that are not large it is noted."""
        known = np.zeros(len(self.cells), dtype=np.bool_)
        for table, own in enumerate(self.cells.T):
            for group, one in _single(own):
                if known[one]:
                    continue
                known[one] = True
                here = self.of_atom == one
                if not self.big[one]:
                    self.alone.append(((table, group), np.flatnonzero(here)))
                self._known_by[here] = table, group
        self.cells[known] = -1
        return bool(known.any())

    def _useless(self) -> bool:
        """Takes out groups with a large unknown that stands in no other."""
        once = self.big & ((self.cells >= 0).sum(axis=1) == 1)
        for own in self.cells.T:
            groups = own[once & (own >= 0)]
            own[np.isin(own, groups) & (own >= 0)] = -1
        return bool(once.any())


def mixed(count: int) -> Words:
    """Numbers without any order, the same each time (splitmix64: Steele, Lea, Flood 2014)."""
    one = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    one = (one ^ (one >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    one = (one ^ (one >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return one ^ (one >> np.uint64(31))


def _single(own: Ints) -> Iterator[tuple[int, int]]:
    """Groups of one unknown, with it."""
    there = np.flatnonzero(own >= 0)
    sizes = np.bincount(own[there], minlength=1)
    for one in there[sizes[own[there]] == 1].tolist():
        yield int(own[one]), one
