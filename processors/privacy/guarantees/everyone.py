"""Who a population has to have: everyone of the table, each once. Else nobody can say how surely somebody is in it."""

from __future__ import annotations

import numpy as np

from processors.privacy.domains.points import Ints
from processors.wrong_config import MisfitError

AT = ("population",)


def check(missing: int, subjects: Ints | None, unknown: int) -> None:
    """Raises `MisfitError` unless the population has everyone.

    `missing`: how many people the population lacks. Where the table tells whose records they are, `subjects` is the
    subject of each combination of quasi-identifiers that some subject has, and `unknown` how many records tell none.
    """
    if unknown:
        raise MisfitError(f"{unknown:,} of the table's records tell no subject", "leave such records out", AT)
    several = 0 if subjects is None else int((np.unique(subjects, return_counts=True)[1] > 1).sum())
    if several:
        wrong = f"{several:,} of the table's subjects have records with several quasi-identifiers"
        raise MisfitError(wrong, "give each subject the same in all records: a population has everyone once", AT)
    if missing:
        whom = "records" if subjects is None else "subjects"
        told = f"the population lacks {missing:,} of the table's {whom}"
        raise MisfitError(told, "give one that has everyone of the table, once", AT)
