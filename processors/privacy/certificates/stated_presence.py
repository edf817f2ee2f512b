"""What a certificate says of presence in a population, which published rows alone don't show.

Always holds: the bounds that were reached come from the run, which had the population; whoever has a certificate can
see that they lie within those that were asked for. Knows no file and no store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal

from processors.privacy.certificates.stated import Stated, Text
from processors.privacy.guarantees.requested import Presence


class StatedPresence(Stated):
    """The share of its people in the population that a published class has, at least and at most.

    The evidence is the run alone: it had the population, and published nothing that doesn't keep these bounds. The
    published rows don't show it to anyone who hasn't.
    """

    population: Text
    least: float
    most: float
    evidence: Literal["run"] = "run"


def stated_presence(presence: Presence) -> StatedPresence:
    return StatedPresence.model_validate(asdict(presence))


def misses(by: str, requested: StatedPresence | None, reached: StatedPresence | None) -> Iterator[str]:
    """In words, how what is said to be reached isn't what was asked for. Older certificates say nothing of it."""
    if reached is None:
        return
    told = f"{by} presence in {reached.population} is from {reached.least:g} to {reached.most:g}"
    if requested is None or requested.population != reached.population:
        yield f"{told}; that was not requested"
    elif not requested.least <= reached.least <= reached.most <= requested.most:
        yield f"{told}; from {requested.least:g} to {requested.most:g} was requested"
