"""t-closeness of every class to a reference distribution, by equal and by ordered distance (Li and others, 2007).

The reference is the whole release, or what was published before or is known of the population. Always holds: the
distances are those of the earth mover between distributions over the whole domain, values that a class lacks
included, at the cost of the values it has. Knows no threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from processors.privacy.guarantees.classes import Floats, Integers, Segments, codes_of


@dataclass(frozen=True)
class Reference:
    """How many records have each value; both series are of one length, and no value occurs twice."""

    values: pl.Series
    counts: pl.Series

    def __post_init__(self) -> None:
        if len(self.values) != len(self.counts) or self.values.n_unique() != len(self.values):
            raise ValueError("a reference has every value once, with its count")
        if not len(self.counts) or self.counts.null_count() or (self.counts < 0).any() or not self.counts.sum():
            raise ValueError("a reference has counts of 0 and more, not all of them 0")

    def over(self, domain: pl.Series) -> Integers:
        """The counts by the codes of a domain that has all its values."""
        counts = np.zeros(len(domain), dtype=np.int64)
        counts[codes_of(self.values, domain).to_numpy()] = self.counts.to_numpy()
        return counts

    def with_values(self, values: pl.Series) -> pl.Series:
        """Its values and those given, each once."""
        return pl.concat([self.values.cast(values.dtype).alias(values.name), values]).unique()


def reference_of(values: pl.Series) -> Reference:
    """The distribution of a column, to be kept with a release."""
    counted = values.alias("value").to_frame().group_by("value").agg(pl.len().cast(pl.Int64).alias("count"))
    return Reference(counted["value"], counted["count"])


def equal_distance(segments: Segments, reference: Integers) -> Floats:
    """Half the sum of the absolute differences: what a class has above its due is what it lacks elsewhere."""
    share = segments.counts / segments.spread
    due = reference[segments.values] / reference.sum()
    return segments.sums(np.maximum(share - due, 0.0))


def ordered_distance(segments: Segments, reference: Integers) -> Floats:
    """The sum of the absolute differences of the cumulated shares, over one less than the number of values.

    Between two values of a class its own cumulated share stays as it is and the reference's rises, so the sum over that
    stretch follows from prefix sums and from the place where the one passes the other.
    """
    size = len(segments.domain)
    if size < 2:
        return np.zeros(len(segments.starts))
    total = int(reference.sum())
    cumulated = np.cumsum(reference)
    sums = np.concatenate([[0], np.cumsum(cumulated)])
    begin = segments.values
    end = np.append(begin[1:], size)
    end[segments.starts[1:] - 1] = size
    share = _cumulated(segments) / segments.spread
    turn = np.clip(np.searchsorted(cumulated.astype(np.float64), share * total, side="right"), begin, end)
    below = (turn - begin) * share - (sums[turn] - sums[begin]) / total
    above = (sums[end] - sums[turn]) / total - (end - turn) * share
    before = sums[begin[segments.starts]] / total  # up to its first value a class has nothing
    apart: Floats = before + segments.sums(np.maximum(below, 0.0) + np.maximum(above, 0.0))
    return apart / (size - 1)


def likeness(segments: Segments, reference: Integers) -> Floats:
    """The largest (q - p) / p of each class: beta of basic beta-likeness (Cao and Karras, 2012)."""
    return segments.most(_ratios(segments, reference) - 1.0)


def disclosure(segments: Segments, reference: Integers) -> Floats:
    """The largest |ln(q / p)| over the values a class has: delta of delta-disclosure (Brickell and Shmatikov, 2008)."""
    return segments.most(np.abs(np.log(_ratios(segments, reference))))


def _ratios(segments: Segments, reference: Integers) -> Floats:
    """q / p of each value that a class has; infinite where the reference lacks it."""
    share = segments.counts / segments.spread
    due = reference[segments.values] / reference.sum()
    ratios: Floats = np.divide(share, due, out=np.full(len(share), np.inf), where=due > 0)
    return ratios


def _cumulated(segments: Segments) -> Integers:
    """How many rows of its class have a value or one before it."""
    running = np.cumsum(segments.counts)
    before = running[segments.starts] - segments.counts[segments.starts]
    return running - np.repeat(before, segments.distinct)
