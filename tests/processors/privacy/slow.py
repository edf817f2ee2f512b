"""k, l, t and loss of a table by dictionaries, loops and fractions, from the definitions and nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from fractions import Fraction

Row = dict[str, Hashable]
Distribution = dict[Hashable, Fraction]


def classes(rows: Sequence[Row], quasi_identifiers: Sequence[str]) -> list[list[Row]]:
    found: dict[tuple[Hashable, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in quasi_identifiers), []).append(row)
    return list(found.values())


def k(rows: Sequence[Row], quasi_identifiers: Sequence[str], subject: str | None = None) -> int:
    groups = classes(rows, quasi_identifiers)
    if subject is None:
        return min((len(group) for group in groups), default=0)
    return min((len({row[subject] for row in group}) for group in groups), default=0)


def distinct(group: Sequence[Row], sensitive: str) -> int:
    return len({row[sensitive] for row in group})


def entropy(group: Sequence[Row], sensitive: str) -> float:
    shares = distribution(group, sensitive).values()
    return math.exp(-math.fsum(float(share) * math.log(share) for share in shares))


def recursive(group: Sequence[Row], sensitive: str, least: int) -> Fraction | None:
    """What c has to be above; None where no c is enough."""
    falling = sorted(Counter(row[sensitive] for row in group).values(), reverse=True)
    rest = sum(falling[least - 1 :])
    return Fraction(falling[0], rest) if rest else None


def distribution(group: Sequence[Row], sensitive: str) -> Distribution:
    return {value: Fraction(count, len(group)) for value, count in Counter(row[sensitive] for row in group).items()}


def equal(own: Distribution, reference: Distribution) -> Fraction:
    values = {*own, *reference}
    return sum((abs(own.get(value, 0) - reference.get(value, 0)) for value in values), Fraction(0)) / 2


def ordered(own: Distribution, reference: Distribution, order: Sequence[Hashable]) -> Fraction:
    """`order` has every value of both, once."""
    if len(order) < 2:
        return Fraction(0)
    moved, total = Fraction(0), Fraction(0)
    for value in order:
        moved += own.get(value, 0) - reference.get(value, 0)
        total += abs(moved)
    return total / (len(order) - 1)


def beta(own: Distribution, reference: Distribution) -> float:
    if any(not reference.get(value) for value in own):
        return math.inf
    return float(max((share - reference[value]) / reference[value] for value, share in own.items()))


def delta(own: Distribution, reference: Distribution) -> float:
    if any(not reference.get(value) for value in own):
        return math.inf
    return max(abs(math.log(share / reference[value])) for value, share in own.items())


def presence(release: Sequence[Row], population: Sequence[Row], names: Sequence[str]) -> tuple[Fraction, Fraction]:
    released = Counter(tuple(row[name] for name in names) for row in release)
    known = Counter(tuple(row[name] for name in names) for row in population)
    shares = [Fraction(released[group], count) for group, count in known.items()]
    return min(shares), max(shares)


def discernibility(rows: Sequence[Row], quasi_identifiers: Sequence[str], suppressed: int) -> int:
    whole = len(rows) + suppressed
    return sum(len(group) ** 2 for group in classes(rows, quasi_identifiers)) + suppressed * whole


def leaves_below(hierarchy: Sequence[Sequence[str]], name: str) -> Fraction:
    below = {row[0] for row in hierarchy if name in row}
    return Fraction(0) if len(below) == 1 else Fraction(len(below), len(hierarchy))
