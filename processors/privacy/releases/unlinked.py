"""Two versions without a row identity: what all ways to match the most of their records have in common.

The classes of both versions are places, the records of each value a flow between them (flows.py). One way to match is a
witness: what it shows to be possible is not known for sure. So one way is made first, and most pairs of classes are
settled by it; for the others ways are looked for that have fewer or more there, until none is left or enough is shown.
Always holds: a pair that is not reported is settled by ways that were found. Knows classes and values by number alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import polars as pl

from processors.privacy.releases.blocks import of_blocks
from processors.privacy.releases.differences import (
    CAME,
    COMMON,
    LEFT,
    OUTSIDE_AFTER,
    OUTSIDE_BEFORE,
    UNDECIDED,
    VALUE,
    Asked,
    Finding,
)
from processors.privacy.releases.flows import NOBODY, Budget, Flow, SpentError
from processors.privacy.releases.overlaps import Ints

STEPS: Final = 30_000_000  # that may be taken to look for ways
TRIPLES: Final = 2_000_000  # pairs of classes that share a value, for each value
ENOUGH: Final = 200  # so many are found, and the others are left undecided


def unlinked(before: pl.DataFrame, after: pl.DataFrame, edges: tuple[Ints, Ints], asked: Asked) -> list[Finding]:
    """Rows have `~class`, the labels and how many they are as `~n`; `edges` are pairs of classes that overlap."""
    pairs = pl.DataFrame({"p": edges[0], "q": edges[1]})
    labels = pl.concat([before, after]).select(pl.lit(0).alias("~"), *asked.labels).unique(maintain_order=True)
    labels = labels.with_row_index("label").with_columns(pl.col("label").cast(pl.Int64))
    cells = [_cells(frame, labels, asked, name) for frame, name in ((before, "p"), (after, "q"))]
    budget = Budget(STEPS)
    try:
        entries, flows = _matched(cells[0], cells[1], pairs, budget)
    except SpentError:
        return [(UNDECIDED, None, None, 0, 0)]
    sizes = [_sizes(own, labels, asked, name) for own, name in zip(cells, ("p", "q"), strict=True)]
    told = _told(entries, labels, asked)
    open_pairs = _open(told, sizes, pairs, asked)
    settled = told.filter(pl.col("flow").is_null()).join(open_pairs, on=["p", "q"], how="semi")
    look = _Look(pl.concat([told.filter(pl.col("flow").is_not_null()), settled]), flows, asked)
    return [*look.findings(open_pairs, budget), *of_blocks(told, pairs, sizes, cells, labels, asked)]


@dataclass(frozen=True)
class _Placed:
    """A flow, and which class each of its places is."""

    flow: Flow
    classes: tuple[list[int], list[int]]
    places: tuple[dict[int, int], dict[int, int]]

    def amount(self, p: int, q: int) -> int:
        return self.flow.amount(*self._at(p, q))

    def move(self, p: int, q: int, most: int, *, grow: bool) -> Iterator[tuple[int, int]]:
        """The pairs of classes whose share was changed."""
        for a, b in self.flow.move(*self._at(p, q), most, grow=grow):
            yield self.classes[0][a] if a != NOBODY else a, self.classes[1][b] if b != NOBODY else b

    def _at(self, p: int, q: int) -> tuple[int, int]:
        return NOBODY if p == NOBODY else self.places[0][p], NOBODY if q == NOBODY else self.places[1][q]


def _cells(frame: pl.DataFrame, labels: pl.DataFrame, asked: Asked, name: str) -> pl.DataFrame:
    own = frame.with_columns(pl.lit(0).alias("~")).join(labels, on=["~", *asked.labels], how="left", nulls_equal=True)
    return (
        own.group_by("label", pl.col("~class").alias(name)).agg(pl.col("~n").sum().cast(pl.Int64)).sort("label", name)
    )


def _told(entries: pl.DataFrame, labels: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    """The entries with their values. Those that can't change are put together by these, under a label below 0."""
    values = labels.select("~", *asked.values).unique(maintain_order=True).with_row_index("value")
    values = values.with_columns((-1 - pl.col("value").cast(pl.Int64)).alias("value"))
    numbers = labels.join(values, on=["~", *asked.values], how="left", nulls_equal=True).select("label", "value")
    told = entries.join(numbers, on="label", how="left")
    fixed = told.filter(pl.col("flow").is_null()).group_by("value", "p", "q").agg(pl.col("x").sum())
    fixed = fixed.with_columns(pl.col("value").alias("label"), pl.lit(None, dtype=pl.Int64).alias("flow"))
    whole = pl.concat([told.filter(pl.col("flow").is_not_null()), fixed], how="diagonal")
    return whole.join(values.drop("~"), on="value", how="left")


def _sizes(cells: pl.DataFrame, labels: pl.DataFrame, asked: Asked, name: str) -> pl.DataFrame:
    """Of each class how many records it has, and how many values."""
    own = cells.join(labels, on="label").group_by(name)
    return own.agg(
        pl.col("~n").sum().alias(f"size {name}"), *(pl.col(v).n_unique().alias(f"{v} {name}") for v in asked.values)
    )


def _matched(
    have: pl.DataFrame, has: pl.DataFrame, pairs: pl.DataFrame, budget: Budget
) -> tuple[pl.DataFrame, list[_Placed]]:
    """Entries: of each value and pair of classes how many are matched (`x`), and the flow in which that may change."""
    triples = have.lazy().join(pairs.lazy(), on="p").join(has.lazy(), on=["label", "q"], suffix="'")
    if triples.select(pl.len()).collect().item() > TRIPLES:
        raise SpentError
    met = triples.sort("label", "p", "q").collect()
    alone = (pl.len().over("label", "p") == 1) & (pl.len().over("label", "q") == 1)
    met = met.with_columns(
        pl.when(alone).then(pl.min_horizontal("~n", "~n'")).otherwise(None).alias("x"),
        pl.lit(None, dtype=pl.Int64).alias("flow"),
    )
    single, several = met.filter(pl.col("x").is_not_null()), met.filter(pl.col("x").is_null())
    parts = [single.select("label", "p", "q", "x", "flow")]
    flows: list[_Placed] = []
    for _, rows in groupby(several.select("label", "p", "q", "~n", "~n'").rows(), key=lambda row: row[0]):
        of_value = [*rows]
        flows.append(_flow(of_value, budget))
        found = [(label, p, q, flows[-1].amount(p, q), len(flows) - 1) for label, p, q, _, _ in of_value]
        parts.append(pl.DataFrame(found, schema=parts[0].schema, orient="row"))
    entries = pl.concat(parts)
    sides = []
    for own, name, other in ((have, "p", "q"), (has, "q", "p")):
        used = entries.filter(pl.col(name) != NOBODY, pl.col(other) != NOBODY).group_by("label", name)
        rest = own.join(used.agg(pl.col("x").sum(), pl.col("flow").first()), on=["label", name], how="left")
        sides.append(
            rest.select(
                "label", name, pl.lit(NOBODY, dtype=pl.Int64).alias(other),
                (pl.col("~n") - pl.col("x").fill_null(0)).alias("x"), "flow",
            ).select("label", "p", "q", "x", "flow")
        )  # fmt: skip
    return pl.concat([entries, *sides]), flows


def _flow(rows: list[Any], budget: Budget) -> _Placed:
    """Of one value, from pairs of classes that have it."""
    ps, qs = (list(dict.fromkeys(row[at] for row in rows)) for at in (1, 2))
    first, last = ({place: at for at, place in enumerate(own)} for own in (ps, qs))
    have, has = [0] * len(ps), [0] * len(qs)
    near: list[list[int]] = [[] for _ in ps]
    for _, p, q, count, there in rows:
        have[first[p]], has[last[q]] = count, there
        near[first[p]].append(last[q])
    return _Placed(Flow(have, has, near, budget), (ps, qs), (first, last))


def _open(told: pl.DataFrame, sizes: list[pl.DataFrame], pairs: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    """Pairs where someone is, as matched, that this way to match does not settle."""
    found = told.group_by("p", "q").agg(
        pl.col("x").sum(), *(pl.col(v).filter(pl.col("x") > 0).n_unique().alias(v) for v in asked.values)
    )
    found = found.filter(pl.col("x") > 0).join(sizes[0], on="p", how="left").join(sizes[1], on="q", how="left")
    for name in ("p", "q"):
        found = found.join(pairs.group_by(name).agg(pl.len().alias(f"near {name}")), on=name, how="left")
    found = found.with_columns(
        pl.min_horizontal(pl.lit(asked.k), "size p", "size q").alias("bound"),
        *(
            pl.min_horizontal(pl.lit(enough), f"{v} p", f"{v} q").alias(f"enough {v}")
            for v, enough in zip(asked.values, asked.distinct, strict=True)
        ),
    )
    narrow = [pl.col("x") < pl.col("bound")]
    narrow += [pl.col(v) < pl.col(f"enough {v}") for v in asked.values]
    both = (pl.col("p") != NOBODY) & (pl.col("q") != NOBODY)
    narrow += [
        both & (pl.col(f"near {n}") > 1) & (pl.col(f"size {n}") - pl.col("x")).is_between(1, asked.k - 1)
        for n in ("p", "q")
    ]
    return found.filter(pl.any_horizontal(narrow)).sort("x", "p", "q")


class _Look:
    """What is known of how many of each value a pair has: the least and the most that a way was found for."""

    def __init__(self, entries: pl.DataFrame, flows: list[_Placed], asked: Asked) -> None:
        self._asked, self._flows = asked, flows
        self._values: dict[int, tuple[Any, ...]] = {}
        self._entries: dict[tuple[int, int], list[tuple[int, int | None]]] = {}
        self._low: dict[tuple[int, int, int], int] = {}
        self._high: dict[tuple[int, int, int], int] = {}
        for label, p, q, x, flow, *values in entries.select("label", "p", "q", "x", "flow", *asked.values).iter_rows():
            if x or flow is not None:
                self._values[label] = tuple(values)
                self._entries.setdefault((p, q), []).append((label, flow))
                self._low[label, p, q] = self._high[label, p, q] = x

    def findings(self, pairs: pl.DataFrame, budget: Budget) -> Iterator[Finding]:
        found, spent = 0, False
        for pair in pairs.iter_rows(named=True):
            p, q = pair["p"], pair["q"]
            here = (None if p == NOBODY else p, None if q == NOBODY else q)
            try:
                told = [] if spent else [*self._told(pair)]
            except SpentError:
                spent = True
            if spent:
                yield UNDECIDED, *here, 0, pair["x"]
                continue
            for kind, fewest, most in told:
                yield kind, *here, fewest, most
            found += len(told)
            spent = found >= ENOUGH

    def _told(self, pair: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
        p, q = pair["p"], pair["q"]
        fewest = self._fewest(p, q)
        if not fewest or self._settled(pair, fewest, self._most(p, q)):
            return
        for label, flow in self._entries[p, q]:
            self._move(label, flow, p, q, grow=True)
            if self._settled(pair, fewest, self._most(p, q)):
                return
        most = self._most(p, q)
        kind = LEFT if q == NOBODY else CAME if p == NOBODY else COMMON
        if most < pair["bound"]:  # Enforces: no group below k
            yield kind, fewest, most
        if self._same(pair):
            yield VALUE, fewest, most
        for outside, name in ((OUTSIDE_AFTER, "p"), (OUTSIDE_BEFORE, "q")):
            size = pair[f"size {name}"]
            if self._outside(pair, name, fewest, most):
                yield outside, size - most, size - fewest

    def _fewest(self, p: int, q: int) -> int:
        """How many there are in every way; looks no further when there is one without any."""
        for label, flow in self._entries[p, q]:
            if not sum(self._low[one, p, q] for one, _ in self._entries[p, q]):
                return 0
            self._move(label, flow, p, q, grow=False)
        return sum(self._low[one, p, q] for one, _ in self._entries[p, q])

    def _most(self, p: int, q: int) -> int:
        return sum(self._high[label, p, q] for label, _ in self._entries[p, q])

    def _settled(self, pair: dict[str, Any], fewest: int, most: int) -> bool:
        small = most < pair["bound"] or self._same(pair)
        return not small and not any(self._outside(pair, name, fewest, most) for name in ("p", "q"))

    def _same(self, pair: dict[str, Any]) -> bool:
        can = [label for label, _ in self._entries[pair["p"], pair["q"]] if self._high[label, pair["p"], pair["q"]]]
        return any(
            len({self._values[label][at] for label in can}) < pair[f"enough {name}"]
            for at, name in enumerate(self._asked.values)
        )

    def _outside(self, pair: dict[str, Any], name: str, fewest: int, most: int) -> bool:
        """Surely someone, and surely few, of a class are outside one of the other version that is not its only one."""
        if NOBODY in (pair["p"], pair["q"]) or pair[f"near {name}"] < 2:
            return False
        size: int = pair[f"size {name}"]
        return size - most >= 1 and size - fewest < self._asked.k

    def _move(self, label: int, number: int | None, p: int, q: int, *, grow: bool) -> None:
        if number is None or (not grow and not self._low[label, p, q]):
            return
        flow = self._flows[number]
        for a, b in flow.move(p, q, 1 << 62 if grow else flow.amount(p, q), grow=grow):
            now = flow.amount(a, b)
            self._low[label, a, b] = min(self._low[label, a, b], now)
            self._high[label, a, b] = max(self._high[label, a, b], now)
