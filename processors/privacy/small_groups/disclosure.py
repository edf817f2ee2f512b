"""Small groups in published totals, withheld together with what they could be computed from.

Several tables may count the same records by other columns, filters or joins. Records that every table treats alike are
an atom; a group is a set of atoms. To be protected are the groups of fewer than k subjects, and what is small of a
total once the groups of other tables within it are subtracted (`processors/privacy/small_groups/leftovers.py`).

Always holds for each of these: the published totals are also those of records of which it has k or more. The reason is
a signed hypercube of atoms: to add to one corner and its like and take from their neighbours changes no published
total. Subjects may be in several atoms, so a corner taken from has k subjects of its own, which every sum that tells of
the small group then holds too; where each record is a subject (`subject` is None), those corners need only fill the
small group up to k.

Totals that overlap tell more than that; what any sum of published groups still tells is withheld by an audit
(`processors/privacy/small_groups/audit.py`).

The outcome depends on the records alone, not on their order. To be published is only that a group is withheld, never
why: a group known to be small is half known. Counts of reasons are for the certificate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import polars as pl

from processors.privacy.small_groups.atoms import SUBJECTS, Atoms, Grouped, Ints, Marks, atoms_of, groups_of
from processors.privacy.small_groups.audit import withhold_told
from processors.privacy.small_groups.leftovers import Target, leftovers

SMALL = "small"  # fewer than k subjects
COMPLEMENT = "complement"  # a small group could be computed from it
REASON = "_reason"
TRIED = {1: 256, 2: 24, 3: 6}  # by the sides of a hypercube: how many atoms along each, those that cost least


def withhold(tables: Sequence[Grouped]) -> list[pl.DataFrame]:
    """For each table its groups with why they are withheld, null where they may be published."""
    groups = [groups_of(table) for table in tables]
    small = [frame[SUBJECTS].to_numpy() < table.k for table, frame in zip(tables, groups, strict=True)]
    hidden = [mask.copy() for mask in small]
    some = [at for at, table in enumerate(tables) if table.records.height]  # the others tell nothing
    if len(some) > 1:
        atoms = atoms_of([tables[at] for at in some], [groups[at] for at in some])
        for target in sorted(leftovers(atoms), key=lambda one: one.subjects):
            _Cubes(atoms, target, [hidden[at] for at in some]).hide()
        withhold_told(atoms, [hidden[at] for at in some])
    return [
        frame.with_columns(_reason(mask, primary)) for frame, mask, primary in zip(groups, hidden, small, strict=True)
    ]


def counts(groups: pl.DataFrame) -> dict[str, int]:
    """How many groups of a table are withheld, by reason."""
    return {reason: int((groups[REASON] == reason).sum()) for reason in (SMALL, COMPLEMENT)}


def _reason(hidden: Marks, small: Marks) -> pl.Series:
    told = pl.DataFrame({"hidden": hidden, "small": small})
    why = pl.when("small").then(pl.lit(SMALL)).when("hidden").then(pl.lit(COMPLEMENT))
    return told.select(why.alias(REASON))[REASON]


class _Cubes:
    """Hypercubes from the atoms of one target, by which it may have k subjects or more."""

    def __init__(self, atoms: Atoms, target: Target, hidden: Sequence[Marks]) -> None:
        self._atoms, self._hidden = atoms, hidden
        self._members = target.atoms
        self._inside = np.zeros(len(atoms.codes), dtype=np.bool_)
        self._inside[target.atoms] = True
        k = atoms.k[target.table]
        need = k - target.subjects if atoms.own[target.table] else k
        self._gives = (atoms.weights[target.table] >= need) & ~self._inside

    def hide(self) -> None:
        """Withholds the cheapest hypercube: the groups that it would change."""
        best: tuple[int, Ints] | None = None
        for corners in (found for member in self._members.tolist() for found in self._from(member)):
            cost = np.zeros(len(corners), dtype=np.int64)
            for at, changed in enumerate(self._changed(corners)):
                cells = self._atoms.cells[at][corners]
                cost += np.where(changed & ~self._hidden[at][cells], self._atoms.subjects[at][cells], 0).sum(axis=1)
            if best is None or cost.min() < best[0]:
                best = int(cost.min()), corners[[cost.argmin()]]
            if best[0] == 0:
                return  # it is withheld already
        if best is not None:
            for at, changed in enumerate(self._changed(best[1])):
                self._hidden[at][self._atoms.cells[at][best[1]][changed]] = True

    def _changed(self, corners: Ints) -> Iterator[Marks]:
        """Of each table the corners whose group would have another total."""
        signs = _signs(corners.shape[1])
        for cells in self._atoms.cells:
            here = cells[corners]
            net = (signs * (here[:, :, None] == here[:, None, :])).sum(axis=2)
            yield (net != 0) & (here >= 0)

    def _from(self, member: int) -> Iterator[Ints]:
        """For each set of columns the hypercubes from this atom, a row of corners for each; every corner is there.

        A corner is taken from where it differs in an odd number of columns.
        """
        yield np.array([[member]])
        near = [self._neighbours(member, side) for side in range(self._atoms.codes.shape[1])]
        sides = [side for side, found in enumerate(near) if len(found)]
        for size, tried in TRIED.items():
            for some in combinations(sides, size):
                found = self._cube(member, some, [near[side][:tried] for side in some])
                if len(found):
                    yield found

    def _neighbours(self, member: int, side: int) -> Ints:
        """The atoms that differ in this column alone, of which may be taken."""
        found = self._atoms.along(member, side)
        found = found[self._gives[found]]
        cost = np.full(len(found), np.iinfo(np.int64).max)
        for cells, subjects, hidden in zip(self._atoms.cells, self._atoms.subjects, self._hidden, strict=True):
            here = cells[found]
            own = np.where(hidden[here], 0, subjects[here])
            cost = np.where(here >= 0, np.minimum(cost, own), cost)
        return found[np.argsort(cost, kind="stable")]

    def _cube(self, member: int, sides: Sequence[int], near: Sequence[Ints]) -> Ints:
        picks = np.stack([one.ravel() for one in np.meshgrid(*near, indexing="ij")], axis=1)
        corners, fits = [], np.ones(len(picks), dtype=np.bool_)
        for chosen in range(1 << len(sides)):
            codes = np.tile(self._atoms.codes[member], (len(picks), 1))
            flips = [i for i in range(len(sides)) if chosen >> i & 1]
            for i in flips:
                codes[:, sides[i]] = self._atoms.codes[picks[:, i], sides[i]]
            corner = self._atoms.find(codes)
            fits &= corner >= 0
            if len(flips) % 2:
                fits &= self._gives[corner]
            corners.append(corner)
        return np.stack(corners, axis=1)[fits]


def _signs(corners: int) -> Ints:
    return np.array([-1 if chosen.bit_count() % 2 else 1 for chosen in range(corners)])
