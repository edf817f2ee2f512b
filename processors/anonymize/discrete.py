"""Whole-numbered noise around zero, by a law that is discrete itself: nothing is rounded, so nothing is shifted.

Laplace: a whole number is the less likely the further it is from zero, by the same factor each step (the two-sided
geometric law). Gaussian: its likelihood is the density of the normal law there (Canonne, Kamath and Steinke, 2020).
Uniform noise has no width of its own in whole numbers, so it is drawn between them and goes to either neighbour as
often as it is near it. Always holds: all are symmetric, so their mean is zero; noise of scale 0 is 0; what a record
gets depends on its identity, the key and its scale alone.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from processors.anonymize.randomness import Draw

Floats = NDArray[np.float64]
Law = Literal["uniform", "gaussian", "laplace"]
PURPOSE: Final = "perturb"
FURTHEST: Final = 1e36  # 128 bits have to hold it beside a value


def whole_noise(scale: Floats, law: Law, draw: Draw, column: str) -> Floats:
    """A whole number for each record. `scale`: half the width, the standard deviation, or the scale of Laplace."""
    if law == "uniform":
        first, _ = _uniform(draw, column, 0)
        second, _ = _uniform(draw, column, 1)
        steps = np.floor((2 * first - 1) * scale + second)
    else:
        steps = _laplace(scale, draw, column, 0) if law == "laplace" else _gaussian(scale, draw, column)
    return np.clip(np.where(scale > 0, steps, 0.0), -FURTHEST, FURTHEST)


def _laplace(scale: Floats, draw: Draw, column: str, block: int) -> Floats:
    """The whole part of exponential noise is geometric, and the difference of two such is Laplace."""
    first, second = _uniform(draw, column, block)
    return np.floor(-np.log(first) * scale) - np.floor(-np.log(second) * scale)


def _gaussian(scale: Floats, draw: Draw, column: str) -> Floats:
    """Laplace noise that is a little wider, taken as often as the normal law has it; else drawn anew."""
    steps = np.zeros(len(scale))
    left, block = np.flatnonzero(scale > 0), 0
    while len(left):
        own = Draw(draw.key, draw.table, draw.identities.gather(left))
        deviation = scale[left]
        wide = np.floor(deviation) + 1
        drawn = _laplace(wide, own, column, 2 * block)
        chance, _ = _uniform(own, column, 2 * block + 1)
        taken = -2 * np.log(chance) >= (np.abs(drawn) / deviation - deviation / wide) ** 2
        steps[left[taken]] = drawn[taken]
        left, block = left[~taken], block + 1
    return steps


def _uniform(draw: Draw, column: str, block: int) -> tuple[Floats, Floats]:
    first, second = draw.uniform(PURPOSE, column, block)
    return first.to_numpy(), second.to_numpy()
