"""delta-presence: how surely someone of a population is in the release (Nergiz and others, 2007)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from processors.privacy.guarantees.classes import Frame, keys_of

_RELEASED, _KNOWN = "r", "k"


def presence(release: Frame, population: Frame, quasi_identifiers: Sequence[str]) -> tuple[float, float]:
    """The smallest and the largest share of a class of the population that the release holds.

    The population is generalized as the release is and holds everyone of it; else it is a ValueError.
    """
    keys = keys_of(quasi_identifiers)
    marked = [
        frame.lazy().select(**keys, **{_RELEASED: pl.lit(released)})
        for frame, released in ((population, False), (release, True))
    ]
    counts = pl.col(_RELEASED).sum(), pl.col(_RELEASED).not_().sum().alias(_KNOWN)
    both = pl.concat(marked, how="vertical_relaxed").group_by(*keys).agg(*counts).collect(engine="streaming")
    if not both[_KNOWN].sum():
        raise ValueError("the population is empty")
    lacking = both.filter(pl.col(_KNOWN) < pl.col(_RELEASED)).height
    if lacking:
        raise ValueError(f"the population lacks records of the release in {lacking} of {both.height} classes")
    shares = (both[_RELEASED] / both[_KNOWN]).to_numpy()
    return float(shares.min()), float(shares.max())
