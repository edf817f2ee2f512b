"""The search through levels against a plain look at every combination of them."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.privacy.domains.levels import Levels, from_rows
from processors.privacy.guarantees.requested import Closeness, Diversity
from processors.privacy.search.demands import Demands
from processors.privacy.search.lattice import released, search
from processors.privacy.search.unreachable import Unreachable
from processors.privacy.search.walk import Optimum
from processors.wrong_config import MisfitError

TREES = {
    "a": [["1", "low", "*"], ["2", "low", "*"], ["3", "high", "*"], ["4", "high", "*"]],
    "b": [["x", "xy", "*"], ["y", "xy", "*"], ["z", "z", "*"]],
    "c": [["p", "*"], ["q", "*"]],
}
LEVELS = {name: from_rows(rows) for name, rows in TREES.items()}
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "3", "4", None]),
        st.sampled_from("xyz"),
        st.sampled_from("pq"),
        st.sampled_from([1, 2, 5, None]),
        st.integers(1, 6),
    ),
    min_size=1,
    max_size=24,
)
DIVERSITY = st.one_of(
    st.builds(Diversity, st.just("s"), st.sampled_from([2.0, 3.0]), st.just("distinct")),
    st.builds(Diversity, st.just("s"), st.sampled_from([1.5, 2.0]), st.just("entropy")),
    st.builds(Diversity, st.just("s"), st.just(2.0), st.just("recursive"), st.sampled_from([1.5, 3.0])),
)
CLOSENESS = st.builds(Closeness, st.just("s"), st.sampled_from([0.1, 0.3, 0.5]), st.sampled_from(["equal", "ordered"]))
DEMANDS = st.builds(
    Demands,
    k=st.integers(1, 4),
    subject=st.sampled_from([None, "who"]),
    diversity=st.lists(DIVERSITY, max_size=2).map(tuple),
    closeness=st.lists(CLOSENESS, max_size=1).map(tuple),
    reference=st.sampled_from(["release", "table"]),
)
METRIC = st.sampled_from(["ncp", "leaves", "discernibility", "class_size"])


def table(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    columns = {"a": pl.String, "b": pl.String, "c": pl.String, "s": pl.Int64, "who": pl.Int64}
    return pl.DataFrame(rows, schema=columns, orient="row")


def generalized(value: str | None, name: str, level: int) -> str | None:
    if value is None:
        return "*" if level == len(TREES[name][0]) - 1 else None
    return next(row[level] for row in TREES[name] if row[0] == value)


def cell_loss(value: str | None, name: str, level: int, metric: str) -> float:
    group, leaves = generalized(value, name, level), len(TREES[name])
    below = sum(row[level] == group for row in TREES[name])
    if metric == "leaves":
        return max(0, below - 1) / (leaves - 1)
    return 0.0 if below <= 1 else below / leaves


def far(values: list[Any], whole: list[Any], domain: list[Any], kind: str) -> float:
    apart = [values.count(v) / len(values) - whole.count(v) / len(whole) for v in domain]
    if kind == "equal":
        return sum(map(abs, apart)) / 2
    return sum(abs(sum(apart[: i + 1])) for i in range(len(domain))) / max(1, len(domain) - 1)


def diverse(values: list[Any], one: Diversity) -> bool:
    counts = sorted(Counter(values).values(), reverse=True)
    if one.kind == "distinct":
        return len(counts) >= one.l
    if one.kind == "entropy":
        return math.exp(-sum(n / len(values) * math.log(n / len(values)) for n in counts)) >= one.l - 1e-9
    return len(counts) >= one.l and counts[0] < (one.c or 0) * sum(counts[int(one.l) - 1 :])


def plain(
    rows: list[tuple[Any, ...]], node: tuple[int, ...], asked: Demands, metric: str, population: list[tuple[Any, ...]]
) -> tuple[float, int]:
    """Loss and suppressed rows of one combination; infinite if a class of the population has nobody."""
    key = lambda row: tuple(generalized(row[i], name, node[i]) for i, name in enumerate(TREES))  # noqa: E731
    classes: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        classes[key(row)].append(row)
    known = Counter(map(key, population))
    if asked.presence and asked.presence[0] > 0 and set(known) - set(classes):
        return math.inf, len(rows)

    def fails(name: Any, own: list[tuple[Any, ...]]) -> bool:
        count = len(own) if asked.subject is None else len({row[4] for row in own})
        share = len(own) / known[name] if asked.presence else 0.0
        low, high = asked.presence or (0.0, 1.0)
        return (
            count < asked.k
            or not all(diverse([r[3] for r in own], d) for d in asked.diversity)
            or not low <= share <= high
        )

    good = {name: own for name, own in classes.items() if not fails(name, own)}
    domain = sorted({row[3] for row in rows}, key=lambda v: (v is not None, v))
    every = [row[3] for row in rows]
    while True:
        whole = every if asked.reference == "table" else [row[3] for own in good.values() for row in own]
        kept = {
            name: own
            for name, own in good.items()
            if all(far([r[3] for r in own], whole, domain, t.distance) <= t.t + 1e-9 for t in asked.closeness)
        }
        if len(kept) == len(good):
            break
        good = kept
    out = len(rows) - sum(map(len, good.values()))
    if metric == "discernibility":
        return sum(len(own) ** 2 for own in good.values()) + out * len(rows), out
    if metric == "class_size":
        return len(rows) / (len(good) + bool(out)), out
    cells = sum(
        cell_loss(row[i], name, node[i], metric) for own in good.values() for row in own for i, name in enumerate(TREES)
    )
    return (cells / len(TREES) + out) / len(rows), out


def check(rows: list[tuple[Any, ...]], asked: Demands, limit: float, metric: str, every: int = 0) -> None:
    population = rows if every else []
    rows = rows[::every] if every else rows
    told = [
        (*plain(rows, node, asked, metric, population), node)
        for node in itertools.product(range(3), range(3), range(2))
    ]
    fitting = [(loss, out, node) for loss, out, node in told if out <= math.floor(limit * len(rows) + 1e-9)]
    fitting = [one for one in fitting if one[0] < math.inf]
    found = search(table(rows), LEVELS, asked, limit, metric, table(population) if every else None)
    if not fitting:
        assert isinstance(found, Unreachable)
        assert found.limit is not None
        for setting, most in ((found.demands, limit), (asked, found.limit)):
            again = search(table(rows), LEVELS, setting, most, metric, table(population) if every else None)
            assert isinstance(again, Optimum), (found, setting)
        return
    assert isinstance(found, Optimum)
    assert found.loss == pytest.approx(min(fitting)[0])
    node = tuple(found.levels.values())
    assert (pytest.approx(found.loss), found.suppressed) == plain(rows, node, asked, metric, population)
    assert found.looked_at <= found.nodes == 18
    shown = released(table(rows), LEVELS, found)
    assert shown.height == len(rows) - found.suppressed
    assert shown.select("a", "b", "c").unique().height == found.classes
    named = [tuple(generalized(row[i], name, node[i]) for i, name in enumerate(TREES)) for row in population]
    shares = [len(group) / named.count(name) for name, group in shown.group_by("a", "b", "c") if population]
    assert found.presence == ((min(shares), max(shares)) if shares else None)


@settings(max_examples=100, deadline=None)
@given(ROWS, DEMANDS, st.sampled_from([0.0, 0.1, 0.3, 1.0]), METRIC)
def test_no_combination_is_better(rows: list[Any], asked: Demands, limit: float, metric: str) -> None:
    check(rows, asked, limit, metric)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(1, 3), st.sampled_from([(0.0, 0.5), (0.2, 0.8), (0.3, 1.0)]), st.sampled_from([0.0, 0.3]))
def test_presence_in_a_population(rows: list[Any], k: int, bounds: tuple[float, float], limit: float) -> None:
    check(rows, Demands(k=k, presence=bounds), limit, "leaves", every=2)


def test_k_counts_subjects() -> None:
    frame = table([("1", "x", "p", 1, 7), ("1", "x", "p", 1, 7), ("2", "x", "p", 1, 7), ("2", "x", "p", 1, 8)])
    by_rows = search(frame, LEVELS, Demands(k=2))
    by_people = search(frame, LEVELS, Demands(k=2, subject="who"))
    assert isinstance(by_rows, Optimum)
    assert isinstance(by_people, Optimum)
    assert by_rows.levels == {"a": 0, "b": 0, "c": 0}
    assert by_people.levels == {"a": 1, "b": 0, "c": 0}


def test_what_is_reached_is_told_where_nothing_does() -> None:
    frame = table([("1", "x", "p", n % 2, n) for n in range(6)])
    lines = {
        "k = 7": Demands(k=7),
        "distinct l = 3 of s can't be reached: 2 can": Demands(diversity=(Diversity("s", 3.0),)),
        "at c = 1 can't be reached: l = 2 at c = 1.0001": Demands(diversity=(Diversity("s", 2.0, "recursive", 1.0),)),
    }
    for line, asked in lines.items():
        found = search(frame, LEVELS, asked)
        assert isinstance(found, Unreachable)
        assert line in str(found)
        assert found.limit == 1.0
        assert isinstance(search(frame, LEVELS, found.demands), Optimum)


def test_a_larger_k_with_suppression_is_the_nearest() -> None:
    tree = {"c": from_rows([["p", "P"], ["q", "Q"]])}
    frame = table([("1", "x", "p", 1, n) for n in range(9)] + [("1", "x", "q", 1, 0)])
    found = search(frame, tree, Demands(k=10), limit=0.1)
    assert isinstance(found, Unreachable)
    assert found.demands == Demands(k=9)
    assert "k = 10 can't be reached with at most 10.00% of the rows suppressed: at the coarsest levels k is 9" in str(
        found
    )
    nearest = search(frame, tree, found.demands, limit=0.1)
    assert isinstance(nearest, Optimum)
    assert nearest.suppressed == 1


def test_an_empty_table_keeps_everything() -> None:
    found = search(table([]), LEVELS, Demands(k=5, diversity=(Diversity("s", 2.0),)))
    assert isinstance(found, Optimum)
    assert (found.classes, found.suppressed, found.ncp) == (0, 0, 0.0)
    assert released(table([]), LEVELS, found).height == 0


def wide(levels: int) -> Levels:
    return from_rows([[str(leaf), *(["*"] * levels)] for leaf in range(2)])


def test_bad_settings_are_refused() -> None:
    frame = table([("1", "x", "p", 1, 1)])
    asked = Demands(k=1)
    many = {f"q{n}": wide(9) for n in range(7)}
    calls: dict[str, tuple[Any, ...]] = {
        "no quasi-identifier": ({}, asked),
        "10,000,000 combinations": (many, asked),
        "is no share": (LEVELS, asked, 1.5),
        "no metric height": (LEVELS, asked, 0.0, "height"),
        "presence and population together": (LEVELS, replace(asked, presence=(0.0, 0.5))),
        "no column z": ({"z": LEVELS["c"]}, asked),
        "no column y": (LEVELS, Demands(subject="y")),
        "lacks 'p'": ({"c": from_rows([["q", "*"]])}, asked),
    }
    for wrong, rest in calls.items():
        with pytest.raises(MisfitError, match=wrong):
            search(frame.with_columns(**{name: pl.lit("0") for name in many}), *rest)
    with pytest.raises(MisfitError, match="the population lacks 1 of the table's records; give one"):
        search(frame, LEVELS, replace(asked, presence=(0.0, 1.0)), 0.0, "ncp", frame.clear())
    with pytest.raises(MisfitError, match="lacks 1"):
        search(frame, LEVELS, Demands(closeness=(Closeness("s", 0.5, "ordered", ("2", "3")),)))


def test_demands_that_nothing_can_mean_are_refused() -> None:
    asks: dict[str, dict[str, Any]] = {
        "k = 0": {"k": 0},
        "asks for many l": {"diversity": (Diversity("s", 2.0, "many"),)},
        "l = 2.5": {"diversity": (Diversity("s", 2.5, "recursive", 1.0),)},
        "l = 2; ask for 1 or more; recursive: whole, with c": {"diversity": (Diversity("s", 2.0, "recursive"),)},
        "t = 2": {"closeness": (Closeness("s", 2.0),)},
        "by far distance": {"closeness": (Closeness("s", 0.5, "far"),)},
        "presence that are no range": {"presence": (0.5, 0.2)},
    }
    for wrong, asked in asks.items():
        with pytest.raises(MisfitError, match=wrong):
            Demands(**asked)


def test_an_order_of_texts_is_taken() -> None:
    frame = pl.DataFrame({"c": ["p", "p", "q", "q"] * 2, "s": ["low", "high", "middle", "middle"] * 2})
    asked = Closeness("s", 0.3, "ordered", ("low", "middle", "high"))
    found = search(frame, {"c": LEVELS["c"]}, Demands(closeness=(asked,)))
    assert isinstance(found, Optimum)
    assert found.levels == {"c": 0}
    by_name = search(frame, {"c": LEVELS["c"]}, Demands(closeness=(replace(asked, order=None),)))
    assert isinstance(by_name, Optimum)
    assert by_name.levels == {"c": 1}
